"""A broker and an account for the engine of live trading: every check of risk, fills, costs.

An order is reviewed as the executor reviews it, with the facts of this simulated account. What
passes waits for the next trade of its instrument. Where the book of that trade is known, it takes
level after level of the opposite side, a fill for each, and what they do not hold waits for the
next trade; else it fills whole, at the opposite best quote where the trade tells one, or the price
of the trade. A limit that meets nothing more rests until something trades beyond it. Costs are
those of the dated rules. What cannot happen here (a lagging event loop, a reconciliation that
failed, refusals of a venue) is taken to be fine.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from jts_pipelines.backtest.book_walk import Part, Taken, is_worse, walk
from jts_pipelines.backtest.event_orders import OrderLine
from jts_pipelines.backtest.quote_levels import Book
from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.feed_messages import PriceNote, ReconciledNote
from jts_trading.domain.instruments import parse_instrument_id
from jts_trading.domain.journal_events import (
    IntentRecorded,
    JournalEvent,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
)
from jts_trading.domain.market.binance import filters_of
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits
from jts_trading.domain.orders import OrderIntent, OrderSide
from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import TradeTick
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput
from jts_trading.execution.fill_costs import CostRules, Listed, Trade
from jts_trading.portfolio.fills import still_reserved
from jts_trading.portfolio.instance_account import InstanceAccount
from jts_trading.risk.approval import FinalOrder
from jts_trading.risk.facts import (
    EquityMarks,
    InstrumentRules,
    KrxRules,
    OpenOrder,
    RiskFacts,
    SentOrder,
)
from jts_trading.risk.review import review

_KOREAN = ("KRX", "NXT")
_MINUTE_NS = 60 * 10**9


@dataclass(slots=True)
class _Day:
    """Prices of one instrument that the rules of a day need."""

    day: date
    base: Decimal | None
    last: PriceNote


@dataclass(slots=True)
class _Equity:
    """What losses are measured from."""

    day: date | None = None
    at_start: Decimal = Decimal(0)
    highest: Decimal = Decimal(0)
    is_day_stopped: bool = False


@dataclass(slots=True)
class EventDesk:
    """The broker of one strategy instance.

    Attributes:
        spec: The instance.
        account: Its account, which the engine keeps from what this desk tells it.
        limits: Of the account.
        listed: Market and kind of an instrument.
        lines: Every order, in the order of time.
        is_latched: The largest drawdown was reached (R07): no entry any more.
    """

    spec: StrategyInput
    account: InstanceAccount
    limits: RiskLimits
    listed: Callable[[str], Listed]
    lines: list[OrderLine] = field(default_factory=list)
    is_latched: bool = False
    _waiting: list[OrderLine] = field(default_factory=list)
    _days: dict[str, _Day] = field(default_factory=dict)
    _equity: _Equity = field(default_factory=_Equity)
    _sent: deque[SentOrder] = field(default_factory=deque)
    _taken: Taken = field(default_factory=Taken)
    _trades: int = 0

    @property
    def is_waited_for(self) -> bool:
        """Whether an order waits for a trade."""
        return bool(self._waiting)

    def wants_book(self, instrument_id: str) -> bool:
        """Return whether it matters which book the next trade of an instrument has."""
        return self.is_waited_for or instrument_id in self._taken.levels

    @property
    def marks(self) -> Mapping[str, Decimal]:
        """Newest price of each instrument that has traded."""
        return {name: day.last.price for name, day in self._days.items()}

    def see(self, tick: TradeTick, now_ns: int, book: Book | None = None) -> list[JournalEvent]:
        """Note a trade; return what it means for the orders that wait: fills, or their end.

        Args:
            tick: The trade.
            now_ns: When it was known, UTC ns.
            book: At that time, as far as it is known; see `wants_book`.
        """
        name, day = tick.instrument_id, local_date(tick.venue, now_ns)
        before = self._days.get(name)
        base = None if before is None else before.base
        if before is not None and before.day != day:
            base = before.last.price
        self._days[name] = _Day(day, base, self._note(tick, day, base))
        if self._taken.levels:
            self._taken.see(name, book)
        if not self._waiting:
            return []
        due = [line for line in self._waiting if line.intent.instrument_id == name]
        return [event for line in due for event in self._meet(line, tick, book)]

    def end_session(self, now_ns: int) -> list[JournalEvent]:
        """Let the orders of earlier days end; return what that means."""
        day, events = local_date(self.spec.venue, now_ns), list[JournalEvent]()
        self._taken.clear()
        for line in list(self._waiting):
            if local_date(self.spec.venue, line.given_ns) != day:
                self._end(line, "expired", "its session ended")
                expired = OrderExpired(order_id=line.intent.order_id, reason=line.reason)
                events.append(expired)
        return events

    def cancel(self, order_ids: Collection[str]) -> list[JournalEvent]:
        """Cancel orders that wait; return what that means."""
        called = [line for line in self._waiting if line.intent.order_id in order_ids]
        return [self._cancelled(line, "its strategy called it back") for line in called]

    def submit(self, event: IntentRecorded, now_ns: int) -> list[JournalEvent]:
        """Review an order; return the denial, or nothing while it waits."""
        known = self._days.get(event.intent.instrument_id)
        line = OrderLine(event.intent, now_ns, None if known is None else known.last.price)
        self.lines.append(line)
        self.follow(now_ns)
        order = _final(event.intent)
        found = review(
            order,
            self._facts(order, now_ns),
            self.limits,
            reduces=event.intent.reduces,
            now_ns=now_ns,
        ).verdict
        if not found.is_allowed:
            line.status, line.check, line.reason = "denied", found.check, found.reason
            denied = OrderDenied(order_id=order.order_id, check=found.check, reason=found.reason)
            return [denied]
        self._waiting.append(line)
        self._sent.append(SentOrder.of(order, sent_ns=now_ns, real_sent_ns=now_ns))
        return []

    def follow(self, now_ns: int) -> None:
        """Follow the equity: start of the day, highest, whether a limit of losses was reached."""
        day, equity = local_date(self.spec.venue, now_ns), self.account.equity(dict(self.marks))
        track = self._equity
        if track.day != day:
            track.day, track.at_start, track.is_day_stopped = day, equity, False
        track.highest = max(track.highest, equity)
        lost = track.at_start - equity
        if track.at_start > 0 and lost >= self.limits.daily_loss_max * track.at_start:
            track.is_day_stopped = True
        if track.highest - equity >= self.limits.drawdown_max * track.highest > 0:
            self.is_latched = True

    def _note(self, tick: TradeTick, day: date, base: Decimal | None) -> PriceNote:
        upper = lower = None
        if tick.venue in _KOREAN and base is not None:
            listed = self.listed(tick.instrument_id)
            band = _band(day, int(base), listed.market, listed.asset)
            lower, upper = (None, None) if band is None else band
        return PriceNote(
            instrument_id=tick.instrument_id,
            venue=tick.venue,
            price=tick.price,
            ts_event_ns=tick.ts_event_ns,
            ts_recv_ns=tick.ts_recv_ns,
            bid=tick.bid,
            ask=tick.ask,
            # The first session of the data has no close before it: its first trade stands for it.
            reference=base if base is not None else tick.price,
            upper=upper,
            lower=lower,
            is_halted=tick.is_halted,
        )

    def _meet(self, line: OrderLine, tick: TradeTick, book: Book | None) -> list[JournalEvent]:
        """Let an order meet a trade; return its fills, and its end where it has one."""
        events: list[JournalEvent] = [
            self._filled(line, tick, part) for part in self._parts(line, tick, book)
        ]
        if line.left == 0:
            self._waiting.remove(line)
            line.status = "filled"
        elif line.intent.time_in_force in {"ioc", "fok"}:
            what = "the rest" if events else "it"
            events.append(self._cancelled(line, f"{what} was not filled at once"))
        return events

    def _parts(self, line: OrderLine, tick: TradeTick, book: Book | None) -> list[Part]:
        """Return what an order gets at a trade.

        The first trade after it decides like an order that arrives: it takes what is offered. A
        limit order to which nothing more is offered rests from then on, behind everybody at its
        price: once something trades beyond it, it fills at its limit.
        """
        intent = line.intent
        limit, is_buy = intent.price, intent.side is OrderSide.BUY
        if limit is not None and line.is_resting:
            is_beyond = tick.price < limit if is_buy else tick.price > limit
            return [Part(limit, line.left)] if is_beyond else []
        levels = () if book is None else book.asks if is_buy else book.bids
        if not levels:
            price = self._price_of(line, tick)
            line.is_resting = price is None
            return [] if price is None else [Part(price, line.left)]
        name, side = tick.instrument_id, intent.side
        offered = [(level.price, self._taken.left(name, side, level)) for level in levels]
        # Behind the last level that is shown there may be more within the limit.
        line.is_resting = limit is not None and not is_worse(limit, levels[-1].price, side)
        parts = walk(offered, line.left, side, limit, self.account.steps[name])
        if intent.time_in_force == "fok" and sum(part.quantity for part in parts) < line.left:
            return []
        self._taken.take(name, side, levels, parts)
        return parts

    def _price_of(self, line: OrderLine, tick: TradeTick) -> Decimal | None:
        """Return the price at which an order fills at a trade whose book is not known, or None."""
        intent, is_buy = line.intent, line.intent.side is OrderSide.BUY
        limit, note = intent.price, self._days[tick.instrument_id].last
        quote, locked = (tick.ask, note.upper) if is_buy else (tick.bid, note.lower)
        if tick.bid and tick.ask and tick.bid > tick.ask:
            quote = None  # As in a call auction: nobody can be met there.
        price = quote or tick.price
        if quote is None and locked is not None and tick.price == locked:
            return None
        return None if limit is not None and is_worse(price, limit, intent.side) else price

    def _cancelled(self, line: OrderLine, reason: str) -> OrderCancelled:
        self._end(line, "cancelled", reason)
        return OrderCancelled(order_id=line.intent.order_id, reason=reason)

    def _end(self, line: OrderLine, status: str, reason: str) -> None:
        self._waiting.remove(line)
        line.status, line.reason = status, reason

    def _filled(self, line: OrderLine, tick: TradeTick, part: Part) -> OrderFilled:
        intent = line.intent
        costs = self._costs().of(
            Trade(
                broker=intent.broker,
                instrument_id=intent.instrument_id,
                currency=intent.currency,
                side=intent.side,
                day=self._days[tick.instrument_id].day,
                quantity=part.quantity,
                gross=part.price * part.quantity,
            )
        )
        self._trades += 1
        fill = OrderFilled(
            order_id=intent.order_id,
            trade_id=f"t{self._trades}",
            quantity=part.quantity,
            price=part.price,
            fee=costs.fee,
            tax=costs.tax,
            fee_quantity=costs.fee_quantity,
            ts_event_ns=tick.ts_event_ns,
        )
        line.fills.append(fill)
        return fill

    def _costs(self) -> CostRules:
        return CostRules(default_table(), self.listed)

    def _facts(self, order: FinalOrder, now_ns: int) -> RiskFacts:
        while self._sent and now_ns - self._sent[0].sent_ns > _MINUTE_NS:
            self._sent.popleft()
        known = self._days.get(order.instrument_id)
        account, track = self.account, self._equity
        return RiskFacts(
            price=None if known is None else known.last,
            is_price_shared=True,
            rules=self._rules(order.instrument_id, local_date(order.venue, now_ns)),
            strategy=self.spec,
            cash=account.cash,
            holdings={name: held.quantity for name, held in account.holdings.items()},
            own_holding=account.holding(order.instrument_id).quantity,
            marks=self.marks,
            open_orders=tuple(map(self._open, self._waiting)),
            equity_marks=EquityMarks(track.at_start, track.highest, track.is_day_stopped),
            fee_rate=self._costs().purchase_rate(
                broker=order.broker,
                instrument_id=order.instrument_id,
                currency=order.currency,
                day=local_date(order.venue, now_ns),
            ),
            sent=tuple(self._sent),
            rejects=0,
            reconciled=ReconciledNote(
                broker=order.broker, account=order.account, real_ns=now_ns, unknown_orders=0
            ),
            kill_level=int(self.is_latched),
            loop_lag_ms=0.0,
            clock_speed=Fraction(1),
            real_now_ns=now_ns,
        )

    def _open(self, line: OrderLine) -> OpenOrder:
        intent, order = line.intent, self.account.orders[line.intent.order_id]
        return OpenOrder(
            order_id=intent.order_id,
            instance=intent.instance,
            instrument_id=intent.instrument_id,
            side=intent.side,
            remaining=line.left,
            price=intent.price,
            asset=order.asset,
            reserved=still_reserved(order.asset, order.reserved, intent.quantity, line.filled),
        )

    def _rules(self, instrument_id: str, day: date) -> InstrumentRules | None:
        instrument = parse_instrument_id(instrument_id)
        if instrument.market in _KOREAN:
            listed = self.listed(instrument_id)
            return KrxRules(market=listed.market, asset=listed.asset)
        try:
            return filters_of(default_table(), day, instrument.symbol)
        except RuleMissingError:
            return None


@lru_cache(maxsize=65_536)
def _band(day: date, base: int, market: str, asset: str) -> tuple[Decimal, Decimal] | None:
    try:
        limits = daily_limits(default_table(), day, base, market=market, asset=asset)
    except RuleMissingError:
        return None
    return Decimal(limits.lower), Decimal(limits.upper)


def _final(intent: OrderIntent) -> FinalOrder:
    return FinalOrder(
        order_id=intent.order_id,
        client_order_id=f"{intent.order_id}-1",
        attempt=1,
        broker=intent.broker,
        account=intent.account,
        instance=intent.instance,
        instrument_id=intent.instrument_id,
        venue=intent.venue,
        side=intent.side,
        quantity=intent.quantity,
        price=intent.price,
        currency=intent.currency,
        time_in_force=intent.time_in_force,
    )
