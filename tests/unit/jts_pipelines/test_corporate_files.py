"""Files of corporate actions become what settings have, or an error that names the row."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.corporate_files import KINDS, actions_of
from jts_pipelines.backtest.settings import BacktestSettings, read_assumptions
from storage.errors import InputError

FILE = Path("actions.csv")


def test_file_of_delistings_is_what_settings_have() -> None:
    """Symbol, date and price; without a price nothing is paid."""
    table = pl.DataFrame(
        {
            "symbol": ["036580", "KRW-LUNA"],
            "date": [date(2024, 5, 20), date(2022, 5, 20)],
            "price": ["120", None],
        }
    )
    texts = actions_of(table, "delistings", FILE)

    assert texts == ("036580@2024-05-20=120", "KRW-LUNA@2022-05-20")
    assert actions_of(table.drop("price"), "delistings", FILE)[0] == "036580@2024-05-20"
    assert read_assumptions([f"delistings={','.join(texts)}"]) == {"delistings": texts}
    with pytest.raises(
        InputError, match=r"actions.csv has no column date; accepted: symbol, date"
    ):
        actions_of(table.drop("date"), "delistings", FILE)


def test_file_of_splits_with_times_and_floats_is_what_settings_have() -> None:
    """As a vendor's Parquet file has them; further columns are left alone."""
    table = pl.DataFrame(
        {
            "symbol": ["005930"],
            "date": [datetime(2018, 5, 4, tzinfo=UTC)],
            "old": [1.0],
            "new": [50.0],
            "name": ["삼성전자"],
        }
    )

    assert actions_of(table, "splits", FILE) == ("005930@2018-05-04=1:50",)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (
            "splits",
            {"old": [1, 0], "new": [2, 2]},
            r"actions.csv, row 2: split '5@2024-05-02=0:2'",
        ),
        ("splits", {"old": [1, 1], "new": [2, None]}, r"row 2: split '5@2024-05-02=1'; accepted:"),
        ("splits", {"old": [1, 1]}, r"has no column new; accepted: symbol, date, old, new"),
        ("dividends", {"amount": [10, -1]}, r"row 2: dividend '5@2024-05-02=-1'; accepted:"),
        ("dividends", {"amount": [None, 1]}, r"row 1: dividend '5@2024-05-01'; accepted:"),
        ("dividends", {}, r"has no column amount; accepted: symbol, date, amount"),
        (
            "rights",
            {"ratio": [0.2, 0], "price": [10, 10]},
            r"row 2: rights issue '5@2024-05-02=0:10'; accepted:",
        ),
        (
            "rights",
            {"ratio": [0.2, 1]},
            r"has no column price; accepted: symbol, date, ratio, price",
        ),
        ("delistings", {"price": ["0", "x"]}, r"row 2: delisting '5@2024-05-02=x'; accepted:"),
    ],
)
def test_row_that_cannot_be_used_is_named(
    kind: str, values: dict[str, list[object]], message: str
) -> None:
    """One line: the file, the row, what it says and what would be accepted."""
    days = [date(2024, 5, 1), date(2024, 5, 2)]
    table = pl.DataFrame({"symbol": ["5", "5"], "date": days, **values})

    with pytest.raises(InputError, match=message):
        actions_of(table, kind, FILE)


def test_what_files_say_is_accepted_by_settings() -> None:
    """Each kind has its place there."""
    table = pl.DataFrame(
        {
            "symbol": ["5"],
            "date": [date(2024, 5, 2)],
            "old": [1],
            "new": [2],
            "amount": [9],
            "ratio": [0.2154388105],
            "price": [7],
        }
    )
    given = {kind: actions_of(table, kind, FILE) for kind in KINDS}

    found = BacktestSettings(**given)

    assert found.splits == ("5@2024-05-02=1:2",)
    assert found.dividends == ("5@2024-05-02=9",)
    assert found.rights == ("5@2024-05-02=0.2154388105:7",)
    assert found.delistings == ("5@2024-05-02=7",)
