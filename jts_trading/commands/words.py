"""Times, amounts and names as people read them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

from jts_trading.domain.instruments import InstrumentError, Venue, parse_venue
from jts_trading.market_store.listing import ListedInstrument, read_listing
from storage.errors import InputError

_KOREA = timezone(timedelta(hours=9), "KST")
_KOREAN = frozenset({Venue.KRX, Venue.NXT})
_ID_SHOWN = 8


def at(ts_ns: int, venue: str) -> str:
    """Return an instant (UTC ns) as the venue's clock shows it: `2018-02-26 09:00:05 KST`."""
    if not ts_ns:
        return "-"
    return f"{moment(ts_ns, venue):%Y-%m-%d %H:%M:%S %Z}"


def iso(ts_ns: int, venue: str) -> str | None:
    """Return an instant (UTC ns) as ISO 8601 with the venue's offset; None for 0."""
    return moment(ts_ns, venue).isoformat(timespec="microseconds") if ts_ns else None


def moment(ts_ns: int, venue: str) -> datetime:
    """Return an instant (UTC ns) in the zone of a venue; UTC where trading never stops."""
    instant = datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC)
    instant += timedelta(microseconds=ts_ns % 1_000_000_000 // 1000)
    try:
        is_korean = parse_venue(venue) in _KOREAN
    except InstrumentError:
        is_korean = False
    return instant.astimezone(_KOREA if is_korean else UTC)


def plain(value: Decimal) -> Decimal:
    """Return the same number without zeros at its end and without an exponent."""
    if not value.is_finite():
        return value
    whole = value.to_integral_value()
    return Decimal(int(whole)) if whole == value else value.normalize()


def amount(value: Decimal | None) -> str:
    """Return a number with thousands and no needless zeros; `-` for none."""
    if value is None:
        return "-"
    return f"{plain(value):,f}"


def short(identifier: str | None) -> str:
    """Return the first letters of an id: enough to tell it from others, and to ask for it."""
    return (identifier or "-")[:_ID_SHOWN]


class Names:
    """What people call instruments.

    Args:
        home: The data root; its list of instruments is read when a name is first asked for.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._listing: dict[str, ListedInstrument] | None = None

    def of(self, instrument_id: str) -> str:
        """Return the name of an instrument; empty where nobody knows it."""
        if self._listing is None:
            try:
                self._listing = read_listing(self._home)
            except InputError:
                # A name is a courtesy: without the list the symbol has to do.
                self._listing = {}
        found = self._listing.get(instrument_id)
        return found.name if found else ""

    def beside(self, instrument_id: str) -> str:
        """Return an instrument with its name: `KRX:005930 삼성전자`."""
        return f"{instrument_id} {self.of(instrument_id)}".strip()
