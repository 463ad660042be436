"""Settings of the paper broker, section `brokers.paper`."""

from decimal import Decimal
from enum import StrEnum

import msgspec


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


class PaperSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One paper account; it trades what the dated rules of Binance know the filters of.

    Attributes:
        account: Its name.
        currency: What its cash is counted in.
        deposit: Cash at the very start.
        profile: Which client order ids are refused.
        topic: Market data that orders are matched with.
    """

    account: str = "paper"
    currency: str = "USDT"
    deposit: Decimal = Decimal(100_000)
    profile: IdProfile = IdProfile.PAPER
    topic: str = "market-data.crypto.ticks"
