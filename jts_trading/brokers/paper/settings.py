"""Settings of the paper broker, section `brokers.paper`."""

from decimal import Decimal
from enum import StrEnum

import msgspec

from jts_trading.domain.market.binance import BinanceFilters


class IdProfile(StrEnum):
    """Which client order ids the broker refuses, as the real venues do.

    PAPER: one that an accepted order ever had. UPBIT: one that any request ever had, also a
    refused one. BINANCE: one that an open order has. KIS: there are no such ids, and reports do
    not carry them.
    """

    PAPER = "paper"
    UPBIT = "upbit"
    BINANCE = "binance"
    KIS = "kis"


class PaperFilters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Smallest steps of one instrument.

    Attributes:
        tick: Price step.
        step: Quantity step.
        min_notional: Smallest price times quantity.
    """

    tick: Decimal
    step: Decimal
    min_notional: Decimal

    @property
    def rules(self) -> BinanceFilters:
        """The same as the rules of a venue."""
        return BinanceFilters(self.tick, self.step, self.min_notional)


_BITCOIN = PaperFilters(tick=Decimal("0.01"), step=Decimal("0.00001"), min_notional=Decimal(5))


class PaperSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One paper account.

    Attributes:
        account: Its name.
        currency: What its cash is counted in.
        deposit: Cash at the very start.
        profile: Which client order ids are refused.
        filters: By instrument id; what is not named is not traded.
        topic: Market data that orders are matched with.
    """

    account: str = "paper"
    currency: str = "USDT"
    deposit: Decimal = Decimal(100_000)
    profile: IdProfile = IdProfile.PAPER
    filters: dict[str, PaperFilters] = msgspec.field(
        default_factory=lambda: {"BINANCE:BTCUSDT": _BITCOIN}
    )
    topic: str = "market-data.crypto.ticks"
