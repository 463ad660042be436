"""`jts strategy check | explain | new` as a user calls them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jts_pipelines.cli.strategy import assigned, strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.telemetry import console

EXAMPLES = Path(__file__).parents[3] / "examples" / "strategies"


def call(*arguments: str, text: str | None = None) -> Result:
    """Run `jts strategy` with arguments."""
    return CliRunner().invoke(strategy, list(arguments), input=text)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.jts")), ids=lambda p: p.stem)
def test_check_when_text_is_sound_then_document_says_so(path: Path) -> None:
    """The three listings pass."""
    result = call("check", str(path), "--json")

    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["ok"] is True
    assert document["state_size"] > 1
    assert f"{document['name']} is sound" in call("check", str(path)).stdout


def test_check_when_text_is_wrong_then_place_caret_and_usage_error(tmp_path: Path) -> None:
    """The error that becomes the one line on stderr; line and caret are the report."""
    path = tmp_path / "x.jts"
    path.write_text('strategy("T") {\n  entry.long { when (clse > 1) { buy(1) } }\n}')

    result = call("check", str(path))

    assert isinstance(result.exception, StrategyError)
    assert console.exit_code_of(result.exception) == console.BAD_USAGE
    assert str(result.exception).startswith(
        f'{path}:2:22: unknown name "clse"; did you mean close'
    )
    line, caret = result.stdout.splitlines()
    assert caret.index("^") == line.index("clse")
    document = json.loads(call("check", str(path), "--json").stdout)
    assert json.loads(call("explain", str(path), "--json").stdout) == document
    assert call("explain", str(path)).stdout == result.stdout
    assert (document["ok"], document["line"], document["column"]) == (False, 2, 22)


def test_check_when_read_from_stdin_then_named_so() -> None:
    """A script pipes a text in."""
    result = call("check", "-", text="strategy")

    assert str(result.exception).startswith("<stdin>:1:9: end of text, expected")


@pytest.mark.parametrize("assignment", ["a", "=5", "a=", " = "])
def test_set_when_not_name_and_value_then_usage_error(assignment: str) -> None:
    """`check` and `backtest` read parameters alike."""
    with pytest.raises(console.CommandError, match="accepted: NAME=VALUE, each name once"):
        assigned((assignment,))
    with pytest.raises(console.CommandError, match="each name once"):
        assigned(("a=1", "a=2"))
    assert assigned((" a = 1 ", "b=2%")) == {"a": "1", "b": "2%"}


def test_explain_when_asked_for_json_then_plan_and_source() -> None:
    """Plan, warm-up, state size and source are one document."""
    result = call("explain", str(EXAMPLES / "multi_timeframe_momentum.jts"), "--json")

    document = json.loads(result.stdout)
    assert document["warmup_bars"] == {"hourly": 15, "daily": 50}
    assert document["timeframes"] == [{"bit": 0, "name": "daily", "interval": "1d"}]
    assert document["risk_management"]["max_position_size"] == "0.2"
    assert document["rules"][0]["quantity"] == "the Kelly fraction"
    assert "def step(state" in document["source"]
    assert document["plan"][1]["computes"] == "SMA(#0, period: 50)"


def test_explain_when_read_by_a_person_then_tables_and_source() -> None:
    """The same for a person."""
    text = call("explain", str(EXAMPLES / "sma_crossover.jts")).stdout

    for expected in ("SMA_Crossover", "51 base bars", "5 % of equity", "def step(state"):
        assert expected in text


def test_new_when_called_then_text_compiles_and_is_not_replaced(tmp_path: Path) -> None:
    """The template is sound, takes parameters, and nobody loses a text by it."""
    path = tmp_path / "mine.jts"

    assert call("new", str(path)).exit_code == 0
    assert call("check", str(path), "--set", "quick=30").exit_code == 0
    again = call("new", str(path), "--name", "Other")
    assert isinstance(again.exception, console.CommandError)
    assert 'strategy("mine")' in path.read_text(encoding="utf-8")
    assert call("new", str(path), "--name", "Other", "--force").exit_code == 0
    assert 'strategy("Other")' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("assignment", ["quick", "=3", "quick="])
def test_set_when_malformed_then_usage_error(tmp_path: Path, assignment: str) -> None:
    """--set wants NAME=VALUE with a value of the declared kind."""
    path = tmp_path / "mine.jts"
    call("new", str(path))

    error = call("check", str(path), "--set", assignment).exception

    assert isinstance(error, Exception)
    assert console.exit_code_of(error) == console.BAD_USAGE


def test_fmt_when_called_then_file_is_laid_out(tmp_path: Path) -> None:
    """`--check` only says so with exit code 1; stdin goes to stdout; a refusal has its place."""
    path = tmp_path / "x.jts"
    path.write_text('strategy( "T" ) {  entry.long{when(close>1){buy( 1 )}}  }')
    formatted = 'strategy("T") { entry.long { when (close > 1) { buy(1) } } }\n'

    refused = call("fmt", str(path), "--check")
    assert isinstance(refused.exception, console.CommandError)
    assert refused.exception.exit_code == console.CHECK_FAILED
    assert call("fmt", "-", text=path.read_text()).stdout == formatted
    assert call("fmt", str(path)).stdout.endswith(": formatted\n")
    assert path.read_text() == formatted
    assert call("fmt", str(path), "--check").exit_code == 0
    assert call("fmt", str(path)).stdout.endswith(": unchanged\n")
    assert isinstance(call("fmt", "-", text="strategy").exception, StrategyError)


def test_release_when_called_then_the_text_waits_for_its_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What live trading can do becomes a candidate; what it cannot is refused."""
    monkeypatch.setenv("JTS_HOME", str(tmp_path / "home"))
    path = tmp_path / "my strategy.jts"
    text = 'strategy("T") { entry.long { when (close > 1) { buy(1) } } }'
    path.write_text(text)

    told = json.loads(call("release", str(path), "--json").stdout)

    assert told["candidate"].startswith("my-strategy@")
    assert (tmp_path / "home" / "strategies" / "my-strategy.jts").read_text() == text
    assert "its evidence decides" in call("release", str(path)).stdout
    path.write_text(text.replace("buy(1)", 'buy(1, type: "stop", stop: close, tif: "ioc")'))
    assert isinstance(call("release", str(path)).exception, StrategyError)
