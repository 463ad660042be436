"""Trading inputs: compiled, judged, numbered and kept."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jts_pipelines.defs.research import gate
from jts_pipelines.defs.trading_inputs.composing import Composed, released_only
from jts_pipelines.defs.trading_inputs.document import (
    KEPT_MAX,
    VERSIONS,
    newest_version,
    read_kept,
    write_next,
)
from jts_pipelines.defs.trading_inputs.specs import (
    Candidate,
    InstanceSpec,
    compile_spec,
    limits_from,
    require_names,
    spec_of,
)
from jts_pipelines.defs.trading_inputs.universe import (
    Standing,
    Warmup,
    choose_warmup,
    needed_bars,
)
from jts_pipelines.defs.trading_inputs.words import instances_table, limits_words
from jts_trading.config.source import ConfigError
from jts_trading.config.trading import StrategyInstance
from jts_trading.domain.trading_inputs import RiskLimits, TradingInputs
from jts_trading.ports.approvals import APPROVAL, text_digest
from jts_trading.ports.inputs import inputs_file, read_inputs
from storage.errors import InputError

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "strategies"
SMA = (EXAMPLES / "sma_crossover.jts").read_text(encoding="utf-8")
FRAMES = (EXAMPLES / "multi_timeframe_momentum.jts").read_text(encoding="utf-8")


def _spec(text: str = SMA, **changes: Any) -> InstanceSpec:
    values: dict[str, Any] = {
        "name": "sma", "strategy": "", "broker": "kis", "account": "50000001", "venue": "KRX",
        "instruments": ("KRX:005930",), "allocation": Decimal(100_000_000), "currency": "KRW",
    }  # fmt: skip
    return spec_of(StrategyInstance(**{**values, **changes}), text)


def _sessions(*rows: tuple[str, date, int]) -> pa.Table:
    return pa.Table.from_pylist([{"symbol": s, "day": d, "bars": n} for s, d, n in rows])


def _inputs(version: int) -> TradingInputs:
    return TradingInputs(version=version, created_ns=1, source="test", instances=())


def test_spec_when_text_compiles_then_names_its_release_by_the_digest_of_the_plan() -> None:
    """The same text and epoch have the same release and id; another epoch is another release."""
    one, again = compile_spec(_spec()), compile_spec(_spec(name="other"))

    made, other = one.strategy_input("2018-02-23"), again.strategy_input("2018-02-23")
    assert made.release.startswith("SMA_Crossover@")
    assert len(made.release.partition("@")[2]) == 12
    assert (made.release, made.strategy_id) == (other.release, other.strategy_id)
    assert made.instrument_ids == ("KRX:005930",)
    assert made.epoch == "2018-02-23"
    assert one.strategy_input("").release != made.release


def test_candidate_when_releases_must_be_approved_then_another_text_is_refused(
    tmp_path: Path,
) -> None:
    """The refusal is a problem of a check, so nothing is published; a paused one may stay."""
    active, paused = compile_spec(_spec()), compile_spec(_spec(status="paused"))

    refused = released_only(active, tmp_path)
    (verdict, *_) = Composed((refused,), {}, {}).verdicts
    assert "sma is not released: no release of this text was approved" in verdict.problems[0]
    assert released_only(paused, tmp_path) == paused

    kept = gate.keep_candidate(tmp_path, gate.Candidate(f"any@{text_digest(SMA)}", SMA))
    (kept.parent / APPROVAL).write_text("{}", encoding="utf-8")
    assert released_only(active, tmp_path) == active


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": "strategy("}, "<text>:1:"),
        ({"instruments": ("KRX:5930",)}, "5930"),
        ({"instruments": ()}, "one instrument at least"),
        ({"instruments": ("UPBIT:KRW-BTC",)}, "does not trade on KRX"),
        ({"epoch": "soon"}, "soon"),
        ({"params": {"fast": "3"}}, "fast"),
    ],
)
def test_spec_when_it_cannot_trade_then_the_refusal_says_why(
    changes: dict[str, Any], said: str
) -> None:
    """A refusal is an answer, not an exception: the other instances are judged too."""
    found = compile_spec(_spec(**changes))

    assert found.plan is None
    assert said in found.refusal


def test_specs_when_names_repeat_or_none_is_there_then_are_refused() -> None:
    """Positions belong to a name."""
    with pytest.raises(InputError, match="no strategy instance"):
        require_names([])
    with pytest.raises(InputError, match="more than one"):
        require_names([_spec(), _spec()])


def test_warmup_when_sessions_are_many_then_begins_with_the_newest_that_suffices() -> None:
    """Four times the bars that the slowest condition needs, of the instrument with fewest."""
    days = [date(2018, 2, day) for day in (19, 20, 21, 22, 23)]
    rows = [("005930", day, 381) for day in days] + [("000660", day, 100) for day in days]
    candidate = compile_spec(_spec(instruments=("KRX:005930", "KRX:000660")))

    found = choose_warmup(candidate, _sessions(*rows))

    assert found == Warmup("2018-02-21", needed=51, present=300, fewest="000660")
    assert found.is_enough


def test_warmup_when_bars_are_few_then_takes_all_and_says_that_they_do_not_suffice() -> None:
    """What is there is used; less than one length of the slowest indicator is no warm-up."""
    candidate = compile_spec(_spec())

    few = choose_warmup(candidate, _sessions(("005930", date(2018, 2, 23), 60)))
    less = choose_warmup(candidate, _sessions(("005930", date(2018, 2, 23), 50)))
    none = choose_warmup(candidate, _sessions())

    assert (few.epoch, few.is_enough) == ("2018-02-23", True)
    assert not less.is_enough
    assert (none.epoch, none.is_enough) == ("", False)


def test_warmup_when_an_epoch_is_named_then_counts_from_there() -> None:
    """A person's choice stands, and is judged like any other."""
    rows = [("005930", date(2018, 2, day), 381) for day in (21, 22, 23)]

    found = choose_warmup(compile_spec(_spec(epoch="2018-02-23")), _sessions(*rows))

    assert (found.epoch, found.present) == ("2018-02-23", 381)


def test_needed_bars_when_frames_are_slower_then_counts_them_in_driver_bars() -> None:
    """The text's finest frame drives: fifty days are fifty sessions of seven hourly bars."""
    assert needed_bars(compile_spec(_spec(text=FRAMES))) == 50 * 7
    assert needed_bars(compile_spec(_spec())) == 51


def _composed(*standing: tuple[str, Standing], warmup: Warmup | None = None) -> Composed:
    ids = tuple(f"KRX:{symbol}" for symbol, _ in standing)
    candidate = compile_spec(_spec(instruments=ids))
    return Composed(
        (candidate,), {"sma": dict(standing)}, {"sma": warmup or Warmup("2018-02-23", 51, 381)}
    )


def _problems(composed: Composed) -> dict[str, int]:
    return {verdict.name: len(verdict.problems) for verdict in composed.verdicts}


def test_verdicts_when_all_is_well_then_have_no_problem() -> None:
    """A listed instrument without a bar of its own is known too."""
    seen = Standing(True, "traded", datetime(2018, 2, 23, 6, 29, tzinfo=UTC), "삼성전자")

    found = _problems(_composed(("005930", seen), ("000660", Standing(True, "", None))))

    assert found == {"strategies_compile": 0, "instruments_tradable": 0, "warmup_present": 0}


def test_verdicts_when_something_is_wrong_then_each_check_names_its_own() -> None:
    """Halted, unknown, and without bars."""
    halted = Standing(True, "halted", datetime(2018, 2, 23, tzinfo=UTC))
    composed = _composed(
        ("005930", halted), ("123450", Standing(False, "", None)), warmup=Warmup("", 51)
    )
    broken = Composed((Candidate(_spec(), None, "<text>:1:1: no"),), {}, {})

    assert _problems(composed) == {
        "strategies_compile": 0, "instruments_tradable": 2, "warmup_present": 1
    }  # fmt: skip
    assert _problems(broken)["strategies_compile"] == 1
    assert "halted" in composed.verdicts[1].problems[0]


def test_document_when_written_again_then_the_version_grows_and_each_is_kept(
    tmp_path: Path,
) -> None:
    """A starting role reads the newest; the bus gets exactly what was kept."""
    first, second = write_next(tmp_path, _inputs), write_next(tmp_path, _inputs)

    assert (first.inputs.version, second.inputs.version) == (1, 2)
    assert read_inputs(tmp_path) == second.inputs
    assert read_kept(first.path, first.sha256) == first.inputs
    with pytest.raises(InputError, match="not those that were materialised"):
        read_kept(first.path, second.sha256)


def test_document_when_versions_are_many_then_the_oldest_go(tmp_path: Path) -> None:
    """The folder is bounded."""
    (tmp_path / VERSIONS).mkdir(parents=True)
    for version in range(1, KEPT_MAX + 5):
        (tmp_path / VERSIONS / f"{version:06}.json").write_text("{}")

    kept = write_next(tmp_path, _inputs)

    assert kept.inputs.version == KEPT_MAX + 5
    assert len(list((tmp_path / VERSIONS).glob("*.json"))) == KEPT_MAX
    assert not (tmp_path / VERSIONS / "000001.json").exists()


def test_document_when_the_current_one_is_damaged_then_nothing_is_written(tmp_path: Path) -> None:
    """Nobody knows its version, so a new one could be older than what the daemon has."""
    kept = write_next(tmp_path, _inputs)
    inputs_file(tmp_path).write_text("{")

    with pytest.raises(ConfigError, match="no trading inputs"):
        write_next(tmp_path, _inputs)
    assert newest_version(kept.path.parents[2] / "elsewhere") == 0


def test_limits_when_changed_then_only_known_names_with_numbers_are_taken() -> None:
    """Launchpad texts become exact numbers."""
    found = limits_from(
        RiskLimits(), {"daily_loss_max": "0.02", "order_value_max": '{"KRW": "5000000"}'}
    )

    assert found.daily_loss_max == Decimal("0.02")
    assert found.order_value_max == {"KRW": Decimal(5_000_000)}
    assert found.drawdown_max == RiskLimits().drawdown_max
    with pytest.raises(InputError, match="luck: unknown"):
        limits_from(RiskLimits(), {"luck": "1"})
    with pytest.raises(InputError, match="daily_loss_max"):
        limits_from(RiskLimits(), {"daily_loss_max": "much"})


def test_words_when_shown_then_a_person_reads_instances_and_limits() -> None:
    """The metadata of a run says what is traded and what is allowed."""
    made = compile_spec(_spec()).strategy_input("2018-02-23")
    known = {"sma": {"005930": Standing(True, "traded", None, "삼성전자")}}

    table = instances_table([made], {"sma": Warmup("2018-02-23", 51, 381)}, known)
    limits = limits_words(RiskLimits())

    assert "KRX:005930 삼성전자" in table
    assert "100,000,000 KRW" in table
    assert "from 2018-02-23: 381 bars, 51 are needed" in table
    assert "R06 entries stop at a loss of 5 %" in limits
    assert "10,000,000 KRW" in limits
