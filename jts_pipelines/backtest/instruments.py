"""Which market an instrument is listed on, what kind it is, and what people call it."""

from dataclasses import dataclass

import polars as pl

from jts_trading.domain.instruments import Venue
from jts_trading.domain.market.table import ANY
from jts_trading.domain.market.upbit import split_market
from storage.errors import InputError

# Spellings of the same column in the listings that vendors and the exchange publish.
_SYMBOL = ("symbol", "ticker", "Code", "단축코드", "종목코드")
_NAME = ("name", "Name", "한글 종목약명", "종목명", "한글 종목명")
_MARKET = ("market", "Market", "시장구분")
_ASSET = ("asset", "asset_type", "증권구분")
# A segment of KOSDAQ with the rules of KOSDAQ.
_SAME_MARKET = {"KOSDAQ GLOBAL": "KOSDAQ"}
_MARKETS = ("KOSPI", "KOSDAQ", "KONEX")
_FUNDS = ("ETF", "ETN", "ELW")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One listed instrument.

    Attributes:
        market: KOSPI, KOSDAQ or KONEX; at Upbit the quote currency.
        asset: COMMON (every kind of share: the rules are the same), ETF, ETN or ELW; of a venue
            for coins the coin, or what names its rules there.
        is_known: False when the instruments table does not list it and defaults apply.
    """

    symbol: str
    name: str
    market: str
    asset: str
    is_known: bool = True


class Instruments:
    """The instruments of a run; those that the table lacks get the default market."""

    def __init__(
        self, listed: dict[str, Instrument], unknown_market: str, venue: str = "KRX"
    ) -> None:
        self.venue = venue
        self._listed = listed
        self._unknown_market = unknown_market

    def find(self, symbol: str) -> Instrument:
        """Return the instrument of a symbol, with defaults when it is not listed."""
        if self.venue != Venue.KRX:
            return _coin(self.venue, symbol)
        found = self._listed.get(symbol)
        return found or Instrument(symbol, "", self._unknown_market, "COMMON", is_known=False)

    def id_of(self, symbol: str) -> str:
        """Return the name of an instrument with its venue: `KRX:005930`."""
        return f"{self.venue}:{symbol}"

    def name_of(self, symbol: str) -> str:
        """Return what people call it, or an empty text."""
        return self.find(symbol).name

    @property
    def names(self) -> dict[str, str]:
        """What people call each listed instrument, by symbol."""
        return {symbol: found.name for symbol, found in self._listed.items()}


def read_instruments(
    table: pl.DataFrame | None, unknown_market: str, venue: str = "KRX"
) -> Instruments:
    """Read a listing: symbol (or ticker, Code) and market; name and asset where it has them.

    Symbols of coins say themselves what they are: their venues need no listing.

    Raises:
        InputError: The listing has no symbol or market column, or a market is unknown.
    """
    if unknown_market not in _MARKETS:
        accepted = ", ".join(_MARKETS)
        raise InputError(f"unknown_market is {unknown_market!r}; accepted: {accepted}")
    if table is None or venue != Venue.KRX:
        return Instruments({}, unknown_market, venue)
    symbol, market = _column(table, _SYMBOL), _column(table, _MARKET)
    if symbol is None or market is None:
        raise InputError(f"the instruments table lacks symbol or market; it has {table.columns}")
    names, assets = _texts(table, _NAME), _texts(table, _ASSET)
    listed = {
        str(code): _instrument(str(code), name, str(where), asset)
        for code, name, where, asset in zip(
            table[symbol], names, table[market], assets, strict=True
        )
    }
    return Instruments(listed, unknown_market)


def _coin(venue: str, symbol: str) -> Instrument:
    if venue != Venue.UPBIT:
        return Instrument(symbol, "", ANY, symbol)
    try:
        quote, coin = split_market(symbol)
    except ValueError as error:
        raise InputError(str(error)) from error
    return Instrument(symbol, "", quote, coin)


def _column(table: pl.DataFrame, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _texts(table: pl.DataFrame, names: tuple[str, ...]) -> list[str]:
    column = _column(table, names)
    return [""] * table.height if column is None else [str(v or "") for v in table[column]]


def _instrument(symbol: str, name: str, market: str, asset: str) -> Instrument:
    market = _SAME_MARKET.get(market, market)
    if market not in _MARKETS:
        accepted = ", ".join(_MARKETS)
        raise InputError(f"market of {symbol} is {market!r}; accepted: {accepted}")
    return Instrument(symbol, name, market, asset if asset in _FUNDS else "COMMON")
