"""The engine with a market around it: prints go in, orders fill at the next print or rest.

What fills cost is worked out with `domain.market.costs`, independently of the engine's sizing.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple

from jts_trading.domain.feed_messages import BarClosed, BarsClosed, TicksCollected
from jts_trading.domain.journal_events import (
    DecisionRecorded,
    IntentRecorded,
    OrderCancelled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    SignalRecorded,
)
from jts_trading.domain.market.costs import CommissionProfile, Side, cash_flow
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.orders import OrderIntent, OrderSide
from jts_trading.domain.sessions import calendar_for
from jts_trading.domain.ticks import Aggressor, TradeTick
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.dsl.compiler import compile_strategy, compile_ticks, trace_strategy
from jts_trading.engine.events import ClockRead, Effect, JournalRead, TicksArrived
from jts_trading.engine.identity import order_id
from jts_trading.engine.program import (
    Program,
    kernel_source,
    make_program,
    make_ticks,
    tick_source,
)
from jts_trading.engine.setup import Prepared, new_state
from jts_trading.engine.state import EngineSettings, EngineState
from jts_trading.engine.step import step
from jts_trading.engine.wishes import orders_called_back
from jts_trading.execution.fill_costs import Listed
from jts_trading.strategy.releases import release_name, strategy_id
from jts_trading.strategy.rules import read_rules

SECOND = 1_000_000_000
KOSPI = Listed("KOSPI", "COMMON")


class Print(NamedTuple):
    """One trade of the market: price in the currency, quantity in shares or coins, best quotes.

    `reached` is the quantity of the day, that of the trade if it is not given.
    """

    symbol: str
    at_ns: int
    price: str
    quantity: str = "1"
    bid: str | None = None
    ask: str | None = None
    reached: str | None = None


def instant(text: str) -> int:
    """Return an ISO instant as UTC ns."""
    moment = datetime.fromisoformat(text)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * SECOND


def plain_kernel(source: str) -> Any:
    """Return the functions of a kernel without compiling them: quick to make, slow to run."""
    namespace: dict[str, Any] = {}
    exec(compile(source, "<kernel>", "exec"), namespace)  # noqa: S102 - our own generated text
    return SimpleNamespace(**namespace)


def describe(text: str, **changes: Any) -> StrategyInput:
    """Return an instance of a strategy text on KRX:005930 in minutes, with changes."""
    plan = compile_strategy(text, params=changes.get("params"))
    name = release_name(plan, changes.get("epoch", ""))
    fields: dict[str, Any] = {
        "instance": "trial",
        "strategy_id": strategy_id(name),
        "release": name,
        "dsl_code": text,
        "broker": "kis",
        "account": "a1",
        "venue": "KRX",
        "interval": "1m",
        "instrument_ids": ("KRX:005930",),
        "allocation": Decimal(100_000_000),
        "currency": "KRW",
    }
    return StrategyInput(**{**fields, **changes})


def prepare(
    spec: StrategyInput,
    settings: EngineSettings,
    load: Callable[[str], Any] = plain_kernel,
) -> Prepared:
    """Compile an instance."""
    plan = compile_strategy(spec.dsl_code, params=spec.params)
    rules = read_rules(plan, settings.sizes, spec.currency)
    trace = trace_strategy(spec.dsl_code, params=spec.params)
    guard = load(plan.guard) if plan.guard else None
    kernel, traced = load(kernel_source(plan)), load(trace.source)
    judged, ticks = compile_ticks(spec.dsl_code, params=spec.params), None
    if judged is not None:
        ticks = make_ticks(judged, load(tick_source(judged)), load(judged.trace.source))
    program = make_program(plan, rules, kernel, trace, traced, guard=guard, ticks=ticks)
    return Prepared(spec, program)


class Rig:
    """An engine, its market and its broker.

    Args:
        specs: Instances to run.
        settings: Of the engine.
        load: Loads kernels.
        fills: Whether intents are filled at the next print of their instrument.
    """

    def __init__(
        self,
        *specs: StrategyInput,
        settings: EngineSettings | None = None,
        load: Callable[[str], Any] = plain_kernel,
        fills: bool = True,
        today: date = date(2024, 6, 3),
        listing: Listed = KOSPI,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.listing = listing
        self.state: EngineState = new_state(
            self.settings,
            [prepare(spec, self.settings, load) for spec in specs],
            lambda _: listing,
            today,
        )
        self.effects: list[Effect] = []
        self.waiting: list[OrderIntent] = []
        self.filled: list[tuple[OrderIntent, OrderFilled]] = []
        self._resting: set[str] = set()
        self._fills = fills
        self._next_tick = 0
        self._seq = itertools.count(1)

    @property
    def instance(self) -> Any:
        """The only instance."""
        (found,) = self.state.instances.values()
        return found

    def trade(self, *prints: Print, lag_ns: int = 0, now_ns: int | None = None) -> list[Effect]:
        """Let the market print trades, each in an entry of its own; returns new effects."""
        before = len(self.effects)
        for each in prints:
            entry = self.entry([each], lag_ns)
            self._keep(
                step(
                    self.state,
                    TicksArrived(entry, f"entry-{entry.first_tick}"),
                    now_ns if now_ns is not None else each.at_ns + lag_ns,
                )
            )
            self._fill_waiting(each)
        return self.effects[before:]

    def take(self, entry: TicksCollected) -> None:
        """Let the engine take an entry in when its last trade arrives."""
        now_ns = entry.ticks[-1].ts_recv_ns
        self._keep(step(self.state, TicksArrived(entry, ""), now_ns))

    def entry(
        self, prints: Iterable[Print], lag_ns: int = 0, recv_ns: int | None = None
    ) -> TicksCollected:
        """Return prints as one entry of the feed; they arrive after a lag, or at an instant."""
        ticks = tuple(self.tick(each, lag_ns, recv_ns) for each in prints)
        first, self._next_tick = self._next_tick, self._next_tick + len(ticks)
        return TicksCollected(
            feed="kis-1",
            session=1,
            first_frame=1_000 + first,
            first_tick=first,
            ticks=ticks,
            frames=tuple(range(len(ticks))),
        )

    def tick(self, each: Print, lag_ns: int = 0, recv_ns: int | None = None) -> TradeTick:
        """Return a print as a tick."""
        return TradeTick(
            instrument_id=each.symbol,
            venue=each.symbol.partition(":")[0],
            broker="kis",
            ts_event_ns=each.at_ns,
            ts_recv_ns=each.at_ns + lag_ns if recv_ns is None else recv_ns,
            price=Decimal(each.price),
            quantity=Decimal(each.quantity),
            aggressor=Aggressor.BUY,
            cumulative_quantity=Decimal(each.reached or each.quantity),
            bid=None if each.bid is None else Decimal(each.bid),
            ask=None if each.ask is None else Decimal(each.ask),
        )

    def clock(self, now_ns: int) -> list[Effect]:
        """Let time pass; returns new effects."""
        before = len(self.effects)
        self._keep(step(self.state, ClockRead(now_ns), now_ns))
        return self.effects[before:]

    def tell(self, *events: Any, ts_ns: int) -> list[Effect]:
        """Let the journal record events; returns new effects."""
        before = len(self.effects)
        read = tuple((next(self._seq), ts_ns, event) for event in events)
        self._keep(step(self.state, JournalRead(read), ts_ns))
        return self.effects[before:]

    def deny(self, ts_ns: int) -> None:
        """Let risk deny every waiting order."""
        waiting, self.waiting = self.waiting, []
        for intent in waiting:
            self.tell(OrderDenied(order_id=intent.order_id, check="R03", reason=""), ts_ns=ts_ns)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of a kind among all effects so far."""
        return [effect.event for effect in self.effects if isinstance(effect.event, kind)]

    @property
    def bars(self) -> list[BarClosed]:
        """Closed bars so far."""
        return [bar for closed in self.of(BarsClosed) for bar in closed.bars()]

    @property
    def decisions(self) -> list[DecisionRecorded]:
        """Decisions so far."""
        return self.of(DecisionRecorded)

    @property
    def signals(self) -> list[SignalRecorded]:
        """Signals so far."""
        return self.of(SignalRecorded)

    @property
    def intents(self) -> list[OrderIntent]:
        """Intents so far."""
        return [event.intent for event in self.of(IntentRecorded)]

    def _keep(self, effects: Sequence[Effect]) -> None:
        self.effects += effects
        self.waiting += [e.event.intent for e in effects if isinstance(e.event, IntentRecorded)]
        called = orders_called_back(self.state) if self._fills else []
        found = next((intent for intent in self.waiting if intent.order_id in called), None)
        if found is not None:
            # The engine is told of it, so that the next one is found from there.
            self._cancel(found, self.state.newest_ns)

    def end_session(self, ts_ns: int) -> None:
        """Let every waiting order end unfilled."""
        waiting, self.waiting = self.waiting, []
        for intent in waiting:
            self.tell(OrderExpired(order_id=intent.order_id), ts_ns=ts_ns)

    def _cancel(self, intent: OrderIntent, ts_ns: int) -> None:
        self.waiting.remove(intent)
        self.tell(OrderCancelled(order_id=intent.order_id), ts_ns=ts_ns)

    def _fill_waiting(self, each: Print) -> None:
        if not self._fills:
            return
        for intent in [intent for intent in self.waiting if intent.instrument_id == each.symbol]:
            price = self._price_of(intent, Decimal(each.price))
            if price is not None:
                self.waiting.remove(intent)
                self.fill(intent, each._replace(price=str(price)))
            elif intent.time_in_force in {"ioc", "fok"}:
                self._cancel(intent, each.at_ns)
            else:
                self._resting.add(intent.order_id)

    def _price_of(self, intent: OrderIntent, price: Decimal) -> Decimal | None:
        """Return where an order fills at a print: on arrival at its price, later at the limit."""
        limit = intent.price
        if limit is None or limit == price:
            return None if limit is not None and intent.order_id in self._resting else price
        is_beyond = price < limit if intent.side is OrderSide.BUY else price > limit
        if not is_beyond:
            return None
        return limit if intent.order_id in self._resting else price

    def fill(self, intent: OrderIntent, each: Print) -> None:
        """Execute an order at a print and let the journal record it."""
        fee = tax = Decimal(0)
        if intent.venue == "KRX":
            flow = self._krx_flow(intent, each)
            fee, tax = Decimal(flow.commission), Decimal(flow.tax.total)
        found = OrderFilled(
            order_id=intent.order_id,
            trade_id=f"t{next(self._seq)}",
            quantity=intent.quantity,
            price=Decimal(each.price),
            fee=fee,
            tax=tax,
            ts_event_ns=each.at_ns,
        )
        self.filled.append((intent, found))
        self.tell(found, ts_ns=each.at_ns)

    def _krx_flow(self, intent: OrderIntent, each: Print) -> Any:
        calendar, table = calendar_for("KRX"), default_table()
        day = calendar.session_date(each.at_ns)
        asset = self.listing.asset
        return cash_flow(
            table,
            calendar.settlement_day(day),
            side=Side.BUY if intent.side is OrderSide.BUY else Side.SELL,
            price=int(each.price),
            quantity=int(intent.quantity),
            commission_rate=CommissionProfile("kis").rate(table, day, venue="KRX", asset=asset),
            market=self.listing.market,
            asset=asset,
        )


def order_of(signal: str, tries: int = 0) -> str:
    """Return the id of the order that is given for a signal after so many earlier ones."""
    return order_id(signal, tries)


def program_of(rig: Rig) -> Program:
    """Return the program of the only instance."""
    found: Program = rig.instance.program
    return found
