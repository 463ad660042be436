"""What is traded, where, and through whom: venues, brokers, symbols, instrument ids, ISIN.

A symbol is written as its listing market writes it: `KRX:005930`, `KRX:37550L`, `UPBIT:KRW-BTC`,
`BINANCE:BTCUSDT`, `US:AAPL`. A Korean code is six characters and a string, never a number. Feeds
that put the type letter of the full short code before it (`A005930`, `Q530107`, `J...`) mean the
same code: `normalise_symbol` drops the letter, because the six characters are already unique.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from jts_trading.domain.errors import JtsError


class InstrumentError(JtsError):
    """A venue, symbol, instrument id or ISIN is not valid; the message says what is."""


class Venue(StrEnum):
    """Where something trades."""

    KRX = "KRX"
    NXT = "NXT"
    UPBIT = "UPBIT"
    BINANCE = "BINANCE"
    US = "US"


class Broker(StrEnum):
    """Through whom JTS trades."""

    KIS = "kis"
    CREON = "creon"
    UPBIT = "upbit"
    BINANCE = "binance"
    PAPER = "paper"


class Market(StrEnum):
    """Markets of KRX; the segment KOSDAQ GLOBAL counts as KOSDAQ."""

    KOSPI = "KOSPI"
    KOSDAQ = "KOSDAQ"
    KONEX = "KONEX"


class Asset(StrEnum):
    """Kinds of instrument that rules tell apart; COMMON includes preferred, REIT, SPAC and DR."""

    COMMON = "COMMON"
    ETF = "ETF"
    ETN = "ETN"
    ELW = "ELW"
    WARRANT = "WARRANT"


_KRX_SYMBOL = re.compile(r"[0-9A-HJ-NP-TV-Z]{6}")
_SYMBOLS = {
    Venue.KRX: (_KRX_SYMBOL, "six of 0-9 and A-Z without I, O, U, such as 005930"),
    Venue.NXT: (_KRX_SYMBOL, "six of 0-9 and A-Z without I, O, U, such as 005930"),
    Venue.UPBIT: (re.compile(r"[A-Z]{3,5}-[A-Z0-9]{1,15}"), "QUOTE-COIN such as KRW-BTC"),
    Venue.BINANCE: (re.compile(r"[A-Z0-9]{2,24}"), "letters and digits such as BTCUSDT"),
    Venue.US: (re.compile(r"[A-Z][A-Z0-9]{0,9}([.-][A-Z0-9]{1,4})?"), "such as AAPL or BRK.B"),
}
_PRICE_SCALES = {Venue.KRX: 0, Venue.NXT: 0, Venue.US: 4, Venue.UPBIT: 8, Venue.BINANCE: 8}
_QUANTITY_SCALES = {Venue.KRX: 0, Venue.NXT: 0, Venue.US: 0, Venue.UPBIT: 8, Venue.BINANCE: 8}
# The listing market of what trades on a venue: Nextrade lists nothing of its own.
_LISTING = {Venue.NXT: Venue.KRX}
_MARKETS = {
    "KOSPI": Market.KOSPI,
    "STK": Market.KOSPI,
    "KOSDAQ": Market.KOSDAQ,
    "KOSDAQ GLOBAL": Market.KOSDAQ,
    "KSQ": Market.KOSDAQ,
    "KONEX": Market.KONEX,
    "KNX": Market.KONEX,
}
# Rules treat these kinds of share alike.
_SHARES = ("COMMON", "PREFERRED", "REIT", "SPAC", "DR", "FOREIGN")
_ASSETS = {**{asset.value: asset for asset in Asset}, **dict.fromkeys(_SHARES, Asset.COMMON)}
_SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]")
_KOREAN_ISIN = re.compile(r"KR[0-9A-HJ-NP-TV-Z]{9}[0-9]")


@dataclass(frozen=True, slots=True, order=True)
class InstrumentId:
    """`MARKET:SYMBOL`: the listing market and its own spelling.

    Attributes:
        market: The listing venue, never NXT.
        symbol: Valid on that venue.
    """

    market: Venue
    symbol: str

    def __str__(self) -> str:
        return f"{self.market}:{self.symbol}"


def parse_venue(text: str) -> Venue:
    """Return the venue of a name, in any case.

    Raises:
        InstrumentError: The name is not a venue.
    """
    try:
        return Venue(text.strip().upper())
    except ValueError:
        known = ", ".join(Venue)
        raise InstrumentError(f"venue {text!r} is unknown; accepted: {known}") from None


def parse_market(text: str) -> Market:
    """Return the KRX market of a name or of a market id of the KRX data system.

    Raises:
        InstrumentError: The name is not a market of KRX.
    """
    try:
        return _MARKETS[text.strip().upper()]
    except KeyError:
        known = ", ".join(_MARKETS)
        raise InstrumentError(f"market {text!r} is unknown; accepted: {known}") from None


def parse_asset(text: str) -> Asset:
    """Return the kind of instrument that rules know, of a type in a listing of KRX.

    Raises:
        InstrumentError: The type is not known; UNKNOWN is none either.
    """
    try:
        return _ASSETS[text.strip().upper()]
    except KeyError:
        known = ", ".join(_ASSETS)
        raise InstrumentError(f"asset type {text!r} is unknown; accepted: {known}") from None


def check_symbol(venue: Venue, symbol: str) -> str:
    """Return the symbol if the venue spells one so.

    Raises:
        InstrumentError: The spelling is not the venue's.
    """
    pattern, accepted = _SYMBOLS[venue]
    if pattern.fullmatch(symbol) is None:
        raise InstrumentError(f"{symbol!r} is no symbol of {venue}; accepted: {accepted}")
    return symbol


def normalise_symbol(venue: Venue, spelling: str) -> str:
    """Return the venue's own spelling of what a feed or file wrote.

    Korean type letters before six characters are dropped; `ETH/BTC` becomes `ETHBTC` for Binance.

    Raises:
        InstrumentError: No spelling of the venue can be made of it.
    """
    symbol = spelling.strip().upper()
    if venue in (Venue.KRX, Venue.NXT) and len(symbol) == 7 and symbol[0] in "AQJ":
        symbol = symbol[1:]
    if venue is Venue.BINANCE:
        symbol = symbol.replace("/", "")
    return check_symbol(venue, symbol)


@lru_cache(maxsize=8_192)
def parse_instrument_id(text: str) -> InstrumentId:
    """Read `MARKET:SYMBOL`; an id on NXT becomes the KRX listing that it trades.

    Raises:
        InstrumentError: The text is not of that form, or one of its parts is invalid.
    """
    market, colon, symbol = text.partition(":")
    if not colon:
        raise InstrumentError(f"{text!r} is no instrument id; accepted: such as KRX:005930")
    return instrument_id(parse_venue(market), symbol)


def instrument_id(venue: Venue, symbol: str) -> InstrumentId:
    """Return the id of what trades as `symbol` on a venue.

    Raises:
        InstrumentError: The symbol is not one of the venue.
    """
    return InstrumentId(_LISTING.get(venue, venue), check_symbol(venue, symbol))


def check_source(name: str) -> str:
    """Return the name of a broker or data source, as the column `broker` stores it.

    Raises:
        InstrumentError: The name is not a short lower-case word.
    """
    if _SOURCE.fullmatch(name) is None:
        raise InstrumentError(f"{name!r} is no broker or source; accepted: such as kis or yahoo")
    return name


def price_scale(venue: Venue) -> int:
    """Return the decimals of a stored price: the engine's price unit is 10**-scale."""
    return _PRICE_SCALES[venue]


def quantity_scale(venue: Venue) -> int:
    """Return the decimals of a quantity: 0 where shares are whole."""
    return _QUANTITY_SCALES[venue]


def isin_check_digit(stem: str) -> int:
    """Return the check digit of the first eleven characters of an ISIN.

    Letters count as two digits (A = 10); from the right, every other digit counts double.

    Raises:
        InstrumentError: The stem is not eleven capital letters and digits.
    """
    if re.fullmatch(r"[A-Z0-9]{11}", stem) is None:
        raise InstrumentError(f"{stem!r} is not eleven of A-Z and 0-9")
    digits = "".join(str(int(character, 36)) for character in stem)
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if at % 2 == 0 else 1)
        total += value // 10 + value % 10
    return -total % 10


def is_isin(text: str) -> bool:
    """Return whether the text is an ISIN with a right check digit; Korean ones have no I, O, U."""
    pattern = _KOREAN_ISIN if text.startswith("KR") else _ISIN
    return pattern.fullmatch(text) is not None and isin_check_digit(text[:11]) == int(text[11])
