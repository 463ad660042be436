"""Everything a review is told, gathered within its budget.

One snapshot of the journal, the shared notes, and what the executor itself knows. What cannot be
had stays None, and denies.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from jts_trading.domain.errors import JtsError
from jts_trading.domain.feed_messages import PriceNote, ReconciledNote
from jts_trading.domain.ledger_rows import OrderRow
from jts_trading.domain.orders import OrderSide, OrderState
from jts_trading.domain.sessions import local_date
from jts_trading.execution.fill_costs import CostRules
from jts_trading.guards.kill_switch import KillSwitch
from jts_trading.portfolio.fills import still_reserved
from jts_trading.ports.clock import Clock
from jts_trading.ports.journal import AccountDesk, Journal
from jts_trading.risk.approval import FinalOrder
from jts_trading.risk.facts import InstrumentRules, OpenOrder, RiskFacts
from jts_trading.services.executor.board import Wish, wish_of
from jts_trading.services.executor.equity import Books, EquityBook
from jts_trading.services.executor.inputs import InputsWatch
from jts_trading.services.executor.prices import SharedNotes
from jts_trading.services.executor.recent import Recent

RulesOf = Callable[[str], InstrumentRules | None]


@dataclass(frozen=True, slots=True)
class Briefing:
    """An order right before its review.

    Attributes:
        row: As the journal has it now; None when it has ended.
        wish: What its intent says.
        facts: For the review.
    """

    row: OrderRow | None
    wish: Wish | None
    facts: RiskFacts


class FactGatherer:
    """Gathers facts; one for all accounts.

    Args:
        journal: One snapshot of an account is read for each review.
        notes: Shared prices and reconciliations.
        inputs: Limits and strategy instances.
        equity: What losses are measured from.
        recent: What left in the last minute.
        kill_switch: Its level is a fact, and asked again at the gate.
        rules: Rules of an instrument at its venue; None where they are not known.
        costs: Commissions by the dated rules.
        clock: Instance time.
        speed: Of the clock.
        boottime_ns: Reads the boot clock.
        loop_lag_ms: Newest lag of the event loop.
        prices_max: Most instruments whose prices are fetched for one review.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        notes: SharedNotes,
        inputs: InputsWatch,
        equity: EquityBook,
        recent: Recent,
        kill_switch: KillSwitch,
        rules: RulesOf,
        costs: CostRules,
        clock: Clock,
        speed: Fraction,
        boottime_ns: Callable[[], int],
        loop_lag_ms: Callable[[], float],
        prices_max: int,
    ) -> None:
        self._journal = journal
        self._notes = notes
        self._inputs = inputs
        self._equity = equity
        self._recent = recent
        self._kill_switch = kill_switch
        self._rules = rules
        self._costs = costs
        self._clock = clock
        self._speed = speed
        self._boottime_ns = boottime_ns
        self._loop_lag_ms = loop_lag_ms
        self._prices_max = prices_max

    async def gather(self, order: OrderRow) -> Briefing:
        """Return the facts about an order.

        Raises:
            JournalUnavailableError: The journal did not answer.
        """
        snapshot, reconciled, _ = await asyncio.gather(
            self._journal.account_desk(order.broker, order.account),
            self._notes.reconciled(order.broker, order.account),
            self._notes.look([order.instrument_id]),
        )
        wishes = {name: wish_of(event) for name, event in snapshot.wishes.items()}
        books = Books(snapshot.balances, order.currency)
        wanted = [*books.holdings, *(row.instrument_id for row in snapshot.orders)]
        others = [name for name in dict.fromkeys(wanted) if name != order.instrument_id]
        if others:
            await self._notes.look(others[: self._prices_max])
        row = next((row for row in snapshot.orders if row.id == order.id), None)
        facts = self._facts(
            order,
            books,
            _open_orders(snapshot, wishes),
            reconciled=reconciled,
            price=self._notes.remembered(order.instrument_id),
            is_price_shared=self._notes.is_told(order.instrument_id),
        )
        return Briefing(row, wishes.get(order.id), facts)

    def terms_of(self, order: FinalOrder) -> tuple[InstrumentRules | None, Decimal | None]:
        """Return the rules of an order's instrument and the commission rate of a purchase."""
        return self._rules(order.instrument_id), self._fee_rate(order)

    def _facts(
        self,
        order: OrderRow,
        books: Books,
        open_orders: tuple[OpenOrder, ...],
        *,
        reconciled: ReconciledNote | None,
        price: PriceNote | None,
        is_price_shared: bool,
    ) -> RiskFacts:
        return RiskFacts(
            price=price,
            is_price_shared=is_price_shared,
            rules=self._rules(order.instrument_id),
            strategy=self._inputs.find(order.instance),
            cash=books.cash,
            holdings=books.holdings,
            own_holding=books.own(order.instance, order.instrument_id),
            marks=self._notes.marks(),
            open_orders=open_orders,
            equity_marks=self._equity.marks(subject_of(order)),
            fee_rate=self._fee_rate(order),
            sent=self._recent.sent(),
            rejects=self._recent.rejects(order.broker, order.account),
            reconciled=reconciled,
            kill_level=int(self._kill_switch.level()),
            loop_lag_ms=self._loop_lag_ms(),
            clock_speed=self._speed,
            real_now_ns=self._boottime_ns(),
        )

    def _fee_rate(self, order: OrderRow | FinalOrder) -> Decimal | None:
        try:
            return self._costs.purchase_rate(
                broker=order.broker,
                instrument_id=order.instrument_id,
                currency=order.currency,
                day=local_date(order.venue, self._clock.now_ns()),
            )
        except JtsError:
            return None


def subject_of(order: OrderRow) -> str:
    """Return the name of the account in one currency, as equity is tracked under it."""
    return f"{order.broker}/{order.account}/{order.currency}"


def _open_orders(snapshot: AccountDesk, wishes: dict[str, Wish | None]) -> tuple[OpenOrder, ...]:
    return tuple(_open_order(row, wishes.get(row.id)) for row in snapshot.orders)


def _open_order(row: OrderRow, wish: Wish | None) -> OpenOrder:
    remaining = row.quantity - row.filled
    if wish is not None and wish.reservation is not None:
        asset = wish.reservation.asset
        reserved = still_reserved(asset, wish.reservation.amount, row.quantity, row.filled)
    else:
        # An order that we did not send reserves nothing in the journal, but may well be filled.
        asset = row.currency if row.side is OrderSide.BUY else row.instrument_id
        reserved = remaining * (row.price or 0) if row.side is OrderSide.BUY else remaining
    return OpenOrder(
        order_id=row.id,
        instance=row.instance,
        instrument_id=row.instrument_id,
        side=row.side,
        remaining=remaining,
        price=row.price,
        asset=asset,
        reserved=reserved,
        is_unknown=row.status in {OrderState.UNKNOWN, OrderState.SENDING},
    )
