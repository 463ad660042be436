"""Limits of risk for tests in which risk has nothing to say."""

from decimal import Decimal

from jts_trading.domain.trading_inputs import RiskLimits

# Nothing that risk could deny: what is left is the engine of live trading.
FREE = RiskLimits(
    order_value_max={"KRW": Decimal(10**12), "USDT": Decimal(10**9)},
    position_share_max=Decimal(10),
    gross_exposure_max=Decimal(10),
    daily_loss_max=Decimal(1),
    drawdown_max=Decimal(1),
    duplicate_window_s=0.0,
    orders_per_second=10_000,
    orders_per_minute=10_000,
)
