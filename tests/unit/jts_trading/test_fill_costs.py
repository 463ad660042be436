"""What a fill costs, by one program for whoever books it."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import Market
from jts_trading.domain.market.costs import CommissionProfile, CommissionRow, Side
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import calendar_for
from jts_trading.execution.fill_costs import CostRules, FillCosts, Listed, Trade
from jts_trading.market_store.listing import PLACE, read_listing
from jts_trading.simulation.account_ledger import AccountLedger
from jts_trading.simulation.krx_market import Listing
from storage.errors import InputError

TABLE = default_table()
KRX = calendar_for("KRX")
SESSIONS = KRX.sessions(date(2010, 1, 4), date(2026, 6, 30))
SIDES = {Side.BUY: OrderSide.BUY, Side.SELL: OrderSide.SELL}


def trade(**changes: object) -> Trade:
    """A purchase of ten shares for 700,000 won."""
    given: dict[str, object] = {
        "broker": "kis",
        "instrument_id": "KRX:005930",
        "currency": "KRW",
        "side": OrderSide.BUY,
        "day": date(2024, 6, 3),
        "quantity": Decimal(10),
        "gross": Decimal(700_000),
    }
    return Trade(**(given | changes))  # type: ignore[arg-type]


@given(
    day=st.sampled_from(SESSIONS),
    side=st.sampled_from([Side.BUY, Side.SELL]),
    listed=st.sampled_from(
        [Listed("KOSPI", "COMMON"), Listed("KOSDAQ", "COMMON"), Listed("KOSPI", "ETF")]
    ),
    price=st.integers(1, 3_000_000),
    quantity=st.integers(1, 5_000),
)
def test_costs_when_on_krx_then_are_those_that_the_simulator_books(
    day: date, side: Side, listed: Listed, price: int, quantity: int
) -> None:
    """Every market, kind and day, both sides, to the won: row by row equality rests on this."""
    ledger = AccountLedger(10**15, table=TABLE, calendar=KRX, commission=CommissionProfile("kis"))
    listing = Listing("005930", "", listed.market, listed.asset)
    if side is Side.SELL:
        ledger.book_fill(day, "1", listing, Side.BUY, price=1, quantity=quantity)
    row = ledger.book_fill(day, "2", listing, side, price=price, quantity=quantity)
    rules = CostRules(TABLE, lambda _: listed)

    found = rules.of(
        trade(
            side=SIDES[side],
            day=day,
            quantity=Decimal(quantity),
            gross=Decimal(price * quantity),
        )
    )

    assert (found.fee, found.tax, found.fee_quantity) == (row.commission, row.tax, 0)


def test_costs_when_crypto_then_are_taken_from_what_the_fill_brings_in() -> None:
    """Coins of a purchase, money of a sale, never finer than eight places."""
    bitcoin = {"broker": "paper", "instrument_id": "BINANCE:BTCUSDT", "currency": "USDT"}
    rules = CostRules(TABLE)

    bought = rules.of(trade(**bitcoin, quantity=Decimal("0.123456789"), gross=Decimal(7_407)))
    sold = rules.of(
        trade(
            **bitcoin,
            side=OrderSide.SELL,
            quantity=Decimal("0.1"),
            gross=Decimal("6000.12345678"),
        )
    )

    assert bought == FillCosts(fee_quantity=Decimal("0.00012345"))
    assert sold == FillCosts(fee=Decimal("6.00012345"))


def test_costs_when_upbit_then_are_won_on_both_sides() -> None:
    """Upbit charges what was spent."""
    bitcoin = {"broker": "upbit", "instrument_id": "UPBIT:KRW-BTC", "currency": "KRW"}

    assert CostRules(TABLE).of(trade(**bitcoin)) == FillCosts(fee=Decimal(350))


def test_costs_when_the_account_has_its_own_rate_then_it_counts() -> None:
    """A contract replaces the published commission."""
    own = CommissionProfile(
        "kis", (CommissionRow("KRX", "COMMON", Decimal("0.001")),), unit_krw=10
    )
    rules = CostRules(TABLE, profiles={"kis": own})

    assert rules.of(trade(gross=Decimal(705_555))).fee == 700


@pytest.mark.parametrize("changes", [{"instrument_id": "US:AAPL"}, {"broker": "creon"}])
def test_costs_when_nobody_knows_them_then_is_an_error(changes: dict[str, str]) -> None:
    """No fill is booked with a guess."""
    with pytest.raises(RuleMissingError):
        CostRules(TABLE).of(trade(**changes))


def test_listing_when_a_vendors_file_then_market_kind_and_name_are_known(tmp_path: Path) -> None:
    """Vendors spell columns in their own way; what is none of KRX is left out."""
    place = tmp_path / PLACE
    place.parent.mkdir()
    assert read_listing(tmp_path) == {}
    pl.DataFrame(
        {
            "ticker": ["005930", "A069500", "not a code"],
            "name": ["삼성전자", "KODEX 200", "?"],
            "market": ["KOSPI", "STK", "NYSE"],
            "asset_type": ["PREFERRED", "ETF", "UNKNOWN"],
        }
    ).write_parquet(place)

    found = read_listing(tmp_path)

    assert found["KRX:005930"] == ("삼성전자", Market.KOSPI, "COMMON")
    assert found["KRX:069500"] == ("KODEX 200", Market.KOSPI, "ETF")
    assert len(found) == 2
    place.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="no list of instruments"):
        read_listing(tmp_path)
    pl.DataFrame({"a": [1]}).write_parquet(place)
    with pytest.raises(InputError, match="no column of symbols"):
        read_listing(tmp_path)
