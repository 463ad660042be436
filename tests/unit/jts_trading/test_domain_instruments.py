"""Promises of names: venues, symbols, instrument ids, ISIN."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.domain.instruments import (
    Asset,
    InstrumentError,
    InstrumentId,
    Market,
    Venue,
    check_source,
    instrument_id,
    is_isin,
    isin_check_digit,
    normalise_symbol,
    parse_asset,
    parse_instrument_id,
    parse_market,
    parse_venue,
    price_scale,
    quantity_scale,
)


@pytest.mark.parametrize(
    "text",
    ["KRX:005930", "KRX:37550L", "KRX:0126Z0", "KRX:00088K", "UPBIT:KRW-BTC", "UPBIT:KRW-1INCH",
     "BINANCE:BTCUSDT", "US:AAPL", "US:BRK.B"],
)  # fmt: skip
def test_instrument_id_when_written_and_read_then_is_the_same(text: str):
    """Text and id are two forms of one thing."""
    assert str(parse_instrument_id(text)) == text


def test_instrument_id_when_traded_on_nxt_then_is_the_listing_on_krx():
    """Nextrade lists nothing of its own."""
    assert parse_instrument_id("NXT:005930") == InstrumentId(Venue.KRX, "005930")
    assert instrument_id(Venue.NXT, "005930") == parse_instrument_id("KRX:005930")


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("005930", "such as KRX:005930"),
        ("NYSE:IBM", "KRX, NXT, UPBIT, BINANCE, US"),
        ("KRX:5930", "six of"),
        ("KRX:00593O", "six of"),
        ("KRX:005930\n", "six of"),
        ("KRX:A005930", "six of"),
        ("UPBIT:BTC", "KRW-BTC"),
        ("BINANCE:btcusdt", "BTCUSDT"),
        ("US:", "AAPL"),
        ("US:../etc", "AAPL"),
    ],
)
def test_instrument_id_when_wrong_then_says_what_is_accepted(text: str, accepted: str):
    """A wrong id is answered with a right one."""
    with pytest.raises(InstrumentError) as caught:
        parse_instrument_id(text)

    assert accepted in str(caught.value)


@pytest.mark.parametrize(
    ("venue", "spelling", "symbol"),
    [
        (Venue.KRX, "A005930", "005930"),
        (Venue.KRX, "Q530107", "530107"),
        (Venue.KRX, " 37550l ", "37550L"),
        (Venue.NXT, "005930", "005930"),
        (Venue.BINANCE, "eth/btc", "ETHBTC"),
        (Venue.UPBIT, "krw-btc", "KRW-BTC"),
    ],
)
def test_symbol_when_a_feed_spells_it_otherwise_then_becomes_the_venues(venue, spelling, symbol):
    """Feeds drop or keep the type letter; the six characters are the code."""
    assert normalise_symbol(venue, spelling) == symbol


def test_symbols_when_the_exchange_lists_them_then_all_are_valid(test_data: Path):
    """Every instrument of two listings of KRX has a valid code."""
    for name, column in (
        ("krx_instruments_2026-08-21", "ticker"),
        ("krx_listing_2026-05", "Code"),
    ):
        frame = pl.read_parquet(test_data / "krx" / f"{name}.parquet")
        symbols = frame[column].to_list()
        assert len(symbols) > 2800
        assert [s for s in symbols if normalise_symbol(Venue.KRX, s) != s] == []


def test_isin_when_the_exchange_lists_it_then_its_check_digit_is_right(test_data: Path):
    """All 2,881 listed ISIN of May 2026."""
    frame = pl.read_parquet(test_data / "krx" / "krx_listing_2026-05.parquet")
    codes = frame["ISU_CD"].to_list()

    assert len(codes) == 2881
    assert [code for code in codes if not is_isin(code)] == []


@given(st.from_regex(r"[A-Z]{2}[A-HJ-NP-TV-Z0-9]{9}", fullmatch=True), st.integers(0, 9))
def test_isin_when_one_digit_is_changed_then_is_no_longer_valid(stem: str, digit: int):
    """The check digit is the only one that fits."""
    right = isin_check_digit(stem)

    assert is_isin(f"{stem}{digit}") is (digit == right)


@pytest.mark.parametrize("stem", ["KR700593000O", "kr700593000", "", "KR7005930 0"])
def test_isin_when_the_stem_is_malformed_then_is_refused(stem: str):
    """A check digit needs eleven characters."""
    with pytest.raises(InstrumentError):
        isin_check_digit(stem)


@pytest.mark.parametrize(
    ("name", "market"),
    [("KOSDAQ GLOBAL", Market.KOSDAQ), ("STK", Market.KOSPI), ("konex", Market.KONEX)],
)
def test_market_when_the_exchange_names_it_otherwise_then_is_known(name: str, market: Market):
    """The segment KOSDAQ GLOBAL is KOSDAQ; the data system has ids of its own."""
    assert parse_market(name) is market


@pytest.mark.parametrize(
    ("name", "asset"),
    [
        ("PREFERRED", Asset.COMMON),
        ("reit", Asset.COMMON),
        ("SPAC", Asset.COMMON),
        ("ETN", Asset.ETN),
    ],
)
def test_asset_when_the_listing_names_its_type_then_is_what_rules_know(name: str, asset: Asset):
    """Preferred shares, REIT and SPAC follow the rules of common shares."""
    assert parse_asset(name) is asset


def test_names_when_unknown_then_are_refused():
    """Markets, venues and sources are closed sets or short words."""
    with pytest.raises(InstrumentError, match="KOSPI, STK, KOSDAQ"):
        parse_market("NASDAQ")
    with pytest.raises(InstrumentError, match="COMMON, ETF"):
        parse_asset("UNKNOWN")
    with pytest.raises(InstrumentError, match="'upbit2' is unknown"):
        parse_venue("upbit2")
    with pytest.raises(InstrumentError, match="kis or yahoo"):
        check_source("Yahoo Finance")
    assert check_source("rltrader_v1") == "rltrader_v1"


def test_scales_when_asked_then_every_venue_has_them():
    """Prices and quantities at rest have a scale per venue."""
    assert [price_scale(venue) for venue in Venue] == [0, 0, 8, 8, 4]
    assert [quantity_scale(venue) for venue in Venue] == [0, 0, 8, 8, 0]
