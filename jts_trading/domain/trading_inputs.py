"""What the daemon trades: strategy instances, universe and limits, as one versioned document.

Made by the asset `trading_inputs` (or from the configuration where no asset has run), kept in
`<home>/trading/inputs.json`, published on `trading.inputs`, taken over without a restart.
"""

from decimal import Decimal
from typing import Literal

import msgspec


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the account-level checks; amounts in the account's currency.

    Attributes:
        order_quantity_max: R01; None for no limit on the number.
        order_value_max: R01, by currency.
        price_collar: R02: largest distance of a limit from the reference, as a fraction.
        price_age_s_max: R03: age of the reference price in instance seconds, by venue.
        position_share_max: R04: share of the account's equity in one instrument.
        gross_exposure_max: R04: share of the account's equity in all positions and open buys.
        daily_loss_max: R06: share of the equity at the start of the trading day.
        drawdown_max: R07: share of the highest equity.
        duplicate_window_s: R08: the same order again within it is refused, instance seconds.
        orders_per_second: R09, per strategy instance, real time.
        orders_per_minute: R09, likewise.
        rejects_per_minute: R10: more refusals of the venue stop entries, real time.
        unknown_orders_max: R17.
        loop_lag_ms_max: R17: how late the executor's event loop may be.
        reconciled_age_s_max: R17: real seconds since the last successful reconciliation.
        latency_allowance_s: Real seconds that a price may age on its way through our processes.
            At clock speed s they look like s times as many instance seconds, so (s - 1) times
            this is added to the ages above: at speed 1 nothing is.
    """

    order_quantity_max: Decimal | None = None
    order_value_max: dict[str, Decimal] = msgspec.field(
        default_factory=lambda: {"KRW": Decimal(10_000_000), "USDT": Decimal(10_000)}
    )
    price_collar: Decimal = Decimal("0.03")
    price_age_s_max: dict[str, float] = msgspec.field(
        default_factory=lambda: {"KRX": 5.0, "NXT": 5.0, "UPBIT": 3.0, "BINANCE": 3.0}
    )
    position_share_max: Decimal = Decimal("0.20")
    gross_exposure_max: Decimal = Decimal(1)
    daily_loss_max: Decimal = Decimal("0.05")
    drawdown_max: Decimal = Decimal("0.15")
    duplicate_window_s: float = 2.0
    orders_per_second: int = 5
    orders_per_minute: int = 60
    rejects_per_minute: int = 10
    unknown_orders_max: int = 3
    reconciled_age_s_max: float = 60.0
    latency_allowance_s: float = 0.5
    loop_lag_ms_max: float = 500.0


class StrategyInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One strategy instance.

    Attributes:
        instance: Its name; positions and limits belong to it.
        strategy_id: UUID of the release in the table `strategies`.
        release: Name and digest of the compiled plan, `SMA_Crossover@1a2b3c4d5e6f`.
        dsl_code: The text.
        params: Values that replace those of the text.
        broker: Through whom it trades: kis, paper.
        account: The account there.
        venue: Where.
        interval: Bars that it is judged on where the text names no time frame: `1m`, `1s`.
        instrument_ids: What it trades.
        allocation: Cash of the instance.
        currency: Of the allocation.
        epoch: First session from which its state is computed, ISO date; empty for no warm-up.
        status: A paused instance computes and decides, but orders exits only.
    """

    instance: str
    strategy_id: str
    release: str
    dsl_code: str
    params: dict[str, str] = {}
    broker: str
    account: str
    venue: str
    interval: str
    instrument_ids: tuple[str, ...]
    allocation: Decimal
    currency: str
    epoch: str = ""
    status: Literal["active", "paused"] = "active"


class TradingInputs(msgspec.Struct, frozen=True, kw_only=True, tag="trading_inputs"):
    """Everything that the daemon needs to know to trade. Topic `trading.inputs`.

    Attributes:
        version: Grows with every publication; an older or equal one is ignored.
        created_ns: Instance time, UTC ns.
        source: Who made it: `configuration`, or the id of a Dagster run.
    """

    version: int
    created_ns: int
    source: str
    instances: tuple[StrategyInput, ...]
    risk: RiskLimits = RiskLimits()
