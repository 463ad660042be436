"""The instance's list of instruments: market, kind and Korean name by instrument id.

`<home>/reference/instruments.parquet`, put there by `jts ingest` or by hand; spellings of columns
differ between vendors. A home without one knows no names, and the rules then take the commonest
market and kind.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jts_trading.domain.instruments import (
    InstrumentError,
    Venue,
    instrument_id,
    normalise_symbol,
    parse_asset,
    parse_market,
)
from storage.errors import InputError

if TYPE_CHECKING:
    import polars as pl

PLACE = Path("reference/instruments.parquet")
_SYMBOL = ("symbol", "ticker", "Code")
_NAME = ("name", "Name")
_MARKET = ("market", "Market")
_ASSET = ("asset", "asset_type")


class ListedInstrument(NamedTuple):
    """One listed instrument; market and kind are empty where the list does not say."""

    name: str
    market: str
    asset: str


def read_listing(home: Path) -> dict[str, ListedInstrument]:
    """Return the instruments of a home by id, such as `KRX:005930`; empty without a list.

    Raises:
        InputError: The list cannot be read, or has no column of symbols.
    """
    path = home / PLACE
    if not path.is_file():
        return {}
    # Only who needs names pays for the memory of the engine.
    import polars as pl

    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path}: no list of instruments: {error}") from error
    symbols = _texts(table, _SYMBOL)
    if symbols is None:
        raise InputError(f"{path}: no column of symbols; accepted: {', '.join(_SYMBOL)}")
    empty = [""] * len(symbols)
    columns = [_texts(table, names) or empty for names in (_NAME, _MARKET, _ASSET)]
    return dict(_rows(symbols, *columns))


def _rows(
    symbols: list[str], names: list[str], markets: list[str], assets: list[str]
) -> Iterator[tuple[str, ListedInstrument]]:
    for symbol, name, market, asset in zip(symbols, names, markets, assets, strict=True):
        try:
            known = str(instrument_id(Venue.KRX, normalise_symbol(Venue.KRX, symbol)))
        except InstrumentError:
            # A list may hold more than what trades here.
            continue
        yield known, ListedInstrument(name, _market(market), _asset(asset))


def _market(text: str) -> str:
    try:
        return parse_market(text)
    except InstrumentError:
        return ""


def _asset(text: str) -> str:
    try:
        return parse_asset(text)
    except InstrumentError:
        return ""


def _texts(table: "pl.DataFrame", names: tuple[str, ...]) -> list[str] | None:
    found = next((name for name in names if name in table.columns), None)
    return None if found is None else [str(value or "") for value in table[found]]
