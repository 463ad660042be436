"""Round trips: from flat to flat in one instrument, what each earned after all costs.

Kelly's formula, cooldowns and reports count trades in this way. A trip that ends at zero counts as
lost, as in a backtest.
"""

from decimal import Decimal

import msgspec

_ZERO = Decimal(0)


class TripRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over closed trips: how many, how many won, what those gained, what others lost."""

    closed: int = 0
    won: int = 0
    profit: Decimal = _ZERO
    loss: Decimal = _ZERO

    def count(self, net: Decimal) -> "TripRecord":
        """Return the record with one more trip."""
        is_won = net > 0
        return TripRecord(
            closed=self.closed + 1,
            won=self.won + is_won,
            profit=self.profit + (net if is_won else _ZERO),
            loss=self.loss - (_ZERO if is_won else net),
        )


class OpenTrip(msgspec.Struct, frozen=True, kw_only=True):
    """A trip that goes on.

    Attributes:
        net: Cash that it brought so far, after fees and tax; below zero while it is open.
        opened_ns: Time of its first fill, UTC ns.
    """

    net: Decimal
    opened_ns: int


def join(trip: OpenTrip | None, cash: Decimal, ts_ns: int) -> OpenTrip:
    """Return the trip after a fill that changed cash by an amount; None begins one."""
    if trip is None:
        return OpenTrip(net=cash, opened_ns=ts_ns)
    return OpenTrip(net=trip.net + cash, opened_ns=trip.opened_ns)
