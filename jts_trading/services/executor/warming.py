"""Reads tables and calendars before the first order needs them: its review has 100 ms for all."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import structlog

from jts_trading.domain.errors import JtsError
from jts_trading.domain.feed_messages import PriceNote, ReconciledNote
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput
from jts_trading.risk.approval import FinalOrder
from jts_trading.risk.facts import EquityMarks, RiskFacts
from jts_trading.risk.review import review
from jts_trading.services.executor.fact_gathering import FactGatherer

_log = structlog.get_logger(__name__)


def warm_up(facts: FactGatherer, strategies: Iterable[StrategyInput], now_ns: int) -> None:
    """Judge one made-up order of each instrument; nothing can come of it."""
    for strategy in strategies:
        for instrument_id in strategy.instrument_ids:
            order = _order(strategy, instrument_id)
            try:
                rules, fee_rate = facts.terms_of(order)
            except JtsError as error:
                _log.info("not_warmed_up", instrument_id=instrument_id, error=str(error))
                continue
            known = RiskFacts(
                price=_price(order, now_ns),
                rules=rules,
                fee_rate=fee_rate,
                strategy=strategy,
                cash=Decimal(0),
                holdings={},
                marks={},
                open_orders=(),
                equity_marks=EquityMarks(Decimal(0), Decimal(0)),
                sent=(),
                rejects=0,
                reconciled=ReconciledNote(
                    broker=order.broker, account=order.account, real_ns=0, unknown_orders=0
                ),
                # Latched: whatever the other checks find, it is denied.
                kill_level=2,
                clock_speed=Fraction(1),
                real_now_ns=0,
            )
            review(order, known, RiskLimits(), reduces=False, now_ns=now_ns)


def _order(strategy: StrategyInput, instrument_id: str) -> FinalOrder:
    return FinalOrder(
        order_id="warm-up",
        client_order_id="warm-up",
        attempt=1,
        broker=strategy.broker,
        account=strategy.account,
        instance=strategy.instance,
        instrument_id=instrument_id,
        venue=strategy.venue,
        side=OrderSide.BUY,
        quantity=Decimal(1),
        price=Decimal(1_000),
        currency=strategy.currency,
    )


def _price(order: FinalOrder, now_ns: int) -> PriceNote:
    return PriceNote(
        instrument_id=order.instrument_id,
        venue=order.venue,
        price=Decimal(1_000),
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
        reference=Decimal(1_000),
    )
