"""Pictures, the calendar asset, the audit of a backtest and the sensor of failed runs."""

import base64
import io
import re
from typing import Any

import dagster as dg
import matplotlib.image
import polars as pl
import pytest

from jts_pipelines.defs.operations.failures import failed_runs
from jts_pipelines.defs.plots import HEIGHT, WIDTH, area_png, picture
from jts_pipelines.defs.reference.calendar import krx_calendar
from jts_pipelines.defs.research.audit import audit
from jts_pipelines.defs.research.backtests import BacktestConfig, request_of
from storage.errors import InputError


def test_area_when_drawn_then_is_a_png_that_shows_the_values() -> None:
    """Another decoder reads it: low values fill little, high ones the whole height."""
    pixels = matplotlib.image.imread(io.BytesIO(area_png([0.0, 50.0, 100.0])))

    filled = (pixels < 0.9).mean(axis=0)
    assert pixels.shape == (HEIGHT, WIDTH)
    assert filled[0] < 0.05
    assert filled[WIDTH // 2] == pytest.approx(0.5, abs=0.05)
    assert filled[-1] == 1.0


def test_picture_when_there_are_thousands_of_days_then_stays_small() -> None:
    """What the event log keeps for ever is far below 100 kB, and holds a whole PNG."""
    text = picture([float(n * 7919 % 1000) for n in range(5_000)], "rows per day").value

    (encoded,) = re.findall(r"base64,([A-Za-z0-9+/=]+)\)", str(text))
    assert len(str(text)) < 100_000
    assert base64.b64decode(encoded).startswith(b"\x89PNG")


# exchange-calendars reads its own schedule in a way that pandas 4 will change.
@pytest.mark.filterwarnings("ignore:Series.values returning an ndarray")
def test_calendar_when_materialised_then_agrees_with_the_package() -> None:
    """The stored sessions are those of the installed exchange-calendars and the dated rules."""
    result: Any = dg.materialize([krx_calendar])

    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert "2026-06-03" in str(check.metadata["overlay"].value)


def _fills(**changes: list[object]) -> pl.DataFrame:
    rows: dict[str, list[object]] = {
        "instrument": ["KRX:005930", "KRX:005930"],
        "side": ["buy", "sell"],
        "quantity": [10, 10],
        "price": [100, 120],
        "commission": [1, 1],
        "dividend": [0, 0],
        "tax": [0, 2],
        "reason": ["entry.long", "exit.long"],
    }
    gross = (pl.col("quantity") * pl.col("price")).alias("gross")
    return pl.DataFrame(rows | changes).with_columns(gross)


def test_audit_when_fills_add_up_then_is_content() -> None:
    """1,000 won, 10 bought at 100 and sold at 120, 4 won of costs: 1,196 won."""
    found = audit(_fills(), pl.DataFrame({"cash": [-1, 1196]}), 1000)

    assert found.cash_is_conserved
    assert found.fills_are_sane


def test_audit_when_positions_were_paid_or_cost_a_fee_then_adds_it_up() -> None:
    """A dividend of 30 and a fee of 4 are rows without a quantity; others of these are not."""
    fills = _fills(
        instrument=["KRX:005930"] * 4,
        side=["buy", "buy", "buy", "sell"],
        quantity=[10, 0, 0, 10],
        price=[100, 0, 0, 120],
        commission=[1, 0, 0, 1],
        tax=[0, 0, 0, 2],
        reason=["entry.long", "dividend", "borrowed", "exit.long"],
        dividend=[0, 30, 0, 0],
        borrow_fee=[0, 0, 4, 0],
    )
    equity = pl.DataFrame({"cash": [1196 + 30 - 4]})

    assert audit(fills, equity, 1000).cash_is_conserved
    assert audit(fills, equity, 1000).fills_are_sane
    assert not audit(_fills(side=["sell", "buy"]), equity, 1000).fills_are_sane
    assert audit(_fills(side=["sell", "buy"]), equity, 1000, sells_short=True).fills_are_sane


@pytest.mark.parametrize(
    ("changes", "cash", "conserved", "sane"),
    [
        ({}, 1197, False, True),
        ({"quantity": [10, 11]}, 1316, True, False),
        ({"price": [100, 0]}, -4, True, False),
    ],
)
def test_audit_when_something_is_wrong_then_says_which(
    changes: dict[str, list[object]], cash: int, conserved: bool, sane: bool
) -> None:
    """A won too much, a share sold that was not held, a fill at no price."""
    found = audit(_fills(**changes), pl.DataFrame({"cash": [cash]}), 1000)

    assert (found.cash_is_conserved, found.fills_are_sane) == (conserved, sane)


def test_audit_when_nothing_was_traded_then_cash_is_where_it_was() -> None:
    """A strategy that never acts conserves its cash."""
    found = audit(_fills().clear(), pl.DataFrame({"cash": [1000]}), 1000)

    assert found.cash_is_conserved
    assert found.fills_are_sane


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"strategy": "nowhere.jts"}, "no such strategy file"),
        ({"text": "x", "from_day": "June"}, "from_day is 'June'"),
    ],
)
def test_request_when_configuration_cannot_be_used_then_says_what_would(
    config: dict[str, str], said: str
) -> None:
    """A person who fills in the launchpad wrongly is told in one line."""
    with pytest.raises(InputError, match=re.escape(said)):
        request_of(BacktestConfig(**config))


def test_request_when_nothing_is_configured_then_is_the_first_example() -> None:
    """A click on Materialize needs no form: the first listing runs over all daily bars."""
    request = request_of(BacktestConfig())

    assert 'strategy("SMA_Crossover")' in request.text
    assert (request.settings.venue, request.settings.interval) == ("KRX", "1d")


def test_failed_runs_when_a_run_fails_then_logs_job_and_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line names the job and what went wrong."""

    @dg.op
    def broken() -> None:
        raise dg.Failure("the disk is full")

    @dg.job
    def archive_test() -> None:
        broken()

    with dg.instance_for_test() as instance:
        result = archive_test.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="failed_runs",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        failed_runs(context)

    assert "run_failed job=archive_test" in capsys.readouterr().err
