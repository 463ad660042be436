"""Generated data look like the real ones and are the same for the same seed."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.ingest.generated import daily_panel, listing, minute_bars, write_generated

SEED = 7


@pytest.fixture(scope="module")
def panel() -> pl.DataFrame:
    """Twelve symbols over the whole span."""
    return daily_panel(seed=SEED, symbols=12)


def test_panel_when_made_twice_then_it_is_equal(panel: pl.DataFrame) -> None:
    """The seed decides every number."""
    assert panel.equals(daily_panel(seed=SEED, symbols=12))
    assert not panel.equals(daily_panel(seed=SEED + 1, symbols=12))


def test_panel_when_session_is_halted_then_zeros_carry_the_close(panel: pl.DataFrame) -> None:
    """Open, high, low and volume are zero, and the close is the one before."""
    with_previous = panel.with_columns(before=pl.col("close").shift(1).over("symbol"))
    halted = with_previous.filter(pl.col("open") == 0)

    assert 0.005 < halted.height / panel.height < 0.1
    assert halted.select(pl.sum_horizontal("open", "high", "low", "volume").sum()).item() == 0
    assert halted.filter(pl.col("close") != pl.col("before")).height == 0


def test_panel_when_traded_then_prices_are_ordered_and_on_the_grid(panel: pl.DataFrame) -> None:
    """High and low enclose open and close, and every price is a multiple of its tick."""
    traded = panel.filter(pl.col("open") > 0)

    assert traded.filter(pl.col("high") < pl.max_horizontal("open", "close")).height == 0
    assert traded.filter(pl.col("low") > pl.min_horizontal("open", "close")).height == 0
    assert traded.filter((pl.col("close") >= 500_000) & (pl.col("close") % 1_000 != 0)).height == 0
    assert traded.filter((pl.col("close") >= 2_000) & (pl.col("close") % 5 != 0)).height == 0


def test_panel_when_read_then_it_has_a_split_and_odd_codes(panel: pl.DataFrame) -> None:
    """One close falls to about a tenth overnight; codes need not be digits."""
    change = panel.select(change=pl.col("close") / pl.col("close").shift(1).over("symbol"))

    assert change.filter(pl.col("change") < 0.2).height == 1
    assert "37550L" in panel["symbol"].unique().to_list()


def test_listing_when_made_then_covers_the_panel_on_both_markets(panel: pl.DataFrame) -> None:
    """Every symbol has a name of its own and a market; codes with a letter are preferred."""
    listed = listing(12)
    preferred = listed.filter(pl.col("asset_type") == "PREFERRED")

    assert set(listed["ticker"]) == set(panel["symbol"])
    assert listed["name"].n_unique() == 12
    assert set(listed["market"]) == {"KOSPI", "KOSDAQ"}
    assert preferred["ticker"].to_list() == ["37550L", "36328K", "00088K"]
    assert preferred["name"].str.ends_with("우").all()


def test_minutes_when_made_then_sessions_have_381_bars() -> None:
    """380 minutes, a gap of nine, the closing auction; 27 sessions."""
    bars = minute_bars(seed=SEED)
    local = bars.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Seoul"))
    per_day = local.group_by(pl.col("timestamp").dt.date().alias("day")).len()

    assert (per_day.height, set(per_day["len"])) == (27, {381})
    assert local["timestamp"].max().strftime("%H%M") == "1529"  # type: ignore[union-attr] - a time
    assert bars["source_label"][0] == 201_801_170_901


def test_files_when_written_then_schema_is_that_of_the_real_ones(
    tmp_path: Path, test_data: Path
) -> None:
    """A generated file can stand in for the real one of the same name."""
    files = write_generated(tmp_path, symbols=2, first=date(2024, 1, 2), last=date(2024, 1, 31))

    for path in (files.daily, files.minute):
        real = test_data / "krx" / path.name
        assert pl.read_parquet_schema(path) == pl.read_parquet_schema(real)
