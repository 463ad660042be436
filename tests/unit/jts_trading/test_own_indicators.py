"""Indicators of the user's own: loaded, checked, compiled, part of the digest."""

import json
import math
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from jts_pipelines.cli.strategy import check
from jts_trading.config.settings import load_settings
from jts_trading.config.source import read
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.indicators.catalog import NATIVE
from jts_trading.kernels.loader import load
from jts_trading.kernels.own_indicators import load_catalog
from jts_trading.kernels.step_rules import OwnIndicatorError
from jts_trading.strategy.releases import release

FILE = '''
"""Middle of the last values, weighted."""
import math

from jts_trading.indicators.definition import (
    CLOSE, VALUE, Definition, number, period, whole,
)
from jts_trading.indicators.windows import sum_step


def tilted_mean_step(state, at, period, tilt, x):
    """Return the mean, tilted towards the newest value."""
    {null}
    total = sum_step(state, at, period, x)
    return {value}


INDICATORS = (
    Definition(
        name="{name}",
        summary="mean tilted towards the newest value",
        inputs=CLOSE,
        parameters=(period(5), number("tilt", "0.5", "0", "1")),
        outputs=(VALUE,),
        step=tilted_mean_step,
        state_size=lambda s: {size},
        warmup=lambda s: {warmup},
        uses={uses},
    ),
)
'''
GOOD = {
    "null": "if math.isnan(x):\n        return math.nan",
    "value": "total / period + tilt * (x - total / period)",
    "name": "TiltedMean",
    "size": "2 + whole(s)",
    "warmup": "whole(s)",
    "uses": "(sum_step,)",
}
TEXT = 'strategy("T") { entry.long { when (close > TiltedMean(3, tilt: 0.25)) { buy("5%") } } }'


def write(folder: Path, **changed: str) -> Path:
    """Write a file of one indicator; return its folder."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(FILE.format(**GOOD | changed), encoding="utf-8")
    return folder


def test_own_indicator_when_used_in_a_text_then_compiled_like_a_native_one(
    tmp_path: Path,
) -> None:
    """A strategy calls it by name; the compiled step gives what the formula says."""
    catalog = load_catalog(write(tmp_path / "own"))

    plan = compile_strategy(TEXT, catalog=catalog)

    assert plan.warmup_bars == {"base": 3}
    kernel = load(plan.source, tmp_path / "kernels")
    row = np.zeros(plan.state_size)
    kernel.init_state(row)
    closes = [10.0, 12.0, 11.0, 15.0, 9.0, 9.0]
    fired = [kernel.step(row, c, c, c, c, 1.0, 0) for c in closes]
    means = [math.nan, math.nan, *(sum(closes[i - 2 : i + 1]) / 3 for i in range(2, 6))]
    expected = [c > m + 0.25 * (c - m) for c, m in zip(closes, means, strict=True)]
    assert fired == [int(e) for e in expected]


def test_own_indicator_when_its_step_changes_then_the_digest_changes(tmp_path: Path) -> None:
    """A changed step is another release; native strategies keep their digest."""
    plain = 'strategy("T") { entry.long { when (close > SMA(3)) { buy("5%") } } }'
    first = load_catalog(write(tmp_path / "one"))
    second = load_catalog(write(tmp_path / "two", value="total / period - tilt"))

    digests = {compile_strategy(TEXT, catalog=c).digest for c in (first, second)}

    assert len(digests) == 2
    assert {compile_strategy(plain, catalog=c).digest for c in (first, second, NATIVE)} == {
        compile_strategy(plain).digest
    }


def test_own_indicators_when_there_is_no_folder_then_the_native_ones(tmp_path: Path) -> None:
    """Without a folder only native names are known, and an unknown one is refused by its line."""
    assert load_catalog(None).definitions == NATIVE.definitions
    with pytest.raises(OwnIndicatorError, match="is no folder"):
        load_catalog(tmp_path / "absent")
    with pytest.raises(StrategyError, match='unknown indicator "TiltedMean"'):
        compile_strategy(TEXT)


SHARED = '''
from jts_trading.indicators.definition import CLOSE, VALUE, Definition


def put_step(state, at, x):
    """Put a value into the older or the newer one of two slots."""
    place = int(state[at])
    state[at + 1 + place] = x
    state[at] = 1 - place


def both_step(state, at):
    """Return the sum of two slots."""
    return state[at + 1] + state[at + 2]


def two_step(state, at, x):
    """Return the sum of the last two values."""
    if x != x:
        return x
    put_step(state, at, x)
    return both_step(state, at)


INDICATORS = (
    Definition(
        name="Pair", summary="two", inputs=CLOSE, parameters=(), outputs=(VALUE,),
        step=two_step, state_size=lambda s: 3, warmup=lambda s: 1, uses=(put_step, both_step),
    ),
)
'''


def test_own_indicator_when_two_functions_share_a_window_then_refused(tmp_path: Path) -> None:
    """The batch form keeps slots in registers by an invariant that such a step breaks."""
    (tmp_path / "pair.py").write_text(SHARED, encoding="utf-8")

    with pytest.raises(OwnIndicatorError, match="Pair: its functions reach the same slots"):
        load_catalog(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"size": "1 + whole(s)"}, "IndexError: slot 6 of 6"),
        ({"value": "total / period + state[0]"}, "IndexError: slot -1000"),
        ({"null": "pass", "value": "0.0"}, "has a value"),
        ({"null": "state[at] += 0.0 if x > 0 else 1.0"}, "changes its state where close is null"),
        ({"warmup": "whole(s) + 3"}, "has a value on bar 5, its warmup says 8"),
        ({"value": "math.nan"}, "has no value after 400 bars"),
        ({"value": "(total, total)"}, "returns 2 values for 1 outputs"),
        ({"uses": "()"}, "tilted_mean_step reads 'sum_step'"),
        ({"value": "open('x')"}, "reads 'open'"),
        ({"value": "x.real"}, "attributes of math only"),
        ({"name": "SMA"}, 'two indicators are called "SMA"'),
        ({"name": "when"}, "no word of the language"),
        ({"name": "한국"}, "is no name"),
        ({"uses": "(sum_step, 3)"}, "AttributeError"),
        ({"size": "-1"}, "state_size must be"),
    ],
)
def test_own_indicator_when_it_breaks_a_rule_then_refused_with_file_and_reason(
    tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    """Nothing that could damage the state of others, or disagree with itself, is compiled."""
    folder = write(tmp_path / "own", **changed)

    with pytest.raises(OwnIndicatorError) as caught:
        load_catalog(folder)

    assert message in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("x = (", "SyntaxError"),
        ("INDICATORS = []", "has no tuple INDICATORS"),
        ("INDICATORS = (3,)", "3 is no Definition"),
        ("import no_such_module_here", "ModuleNotFoundError"),
    ],
)
def test_own_file_when_it_fails_then_refused_with_its_name(
    tmp_path: Path, text: str, message: str
) -> None:
    """A file that cannot be used stops the start with its path, not with a trace."""
    (tmp_path / "broken.py").write_text(text, encoding="utf-8")

    with pytest.raises(OwnIndicatorError) as caught:
        load_catalog(tmp_path)

    assert message in str(caught.value)
    assert "broken.py" in str(caught.value)


def test_own_step_when_named_like_a_native_one_then_refused(tmp_path: Path) -> None:
    """Both texts would stand in one source under one name."""
    folder = write(tmp_path / "own")
    path = folder / "mine.py"
    path.write_text(path.read_text().replace("tilted_mean_step", "ema_step"), encoding="utf-8")

    with pytest.raises(OwnIndicatorError, match="name of a native step"):
        load_catalog(folder)


def test_native_indicators_when_checked_as_own_ones_then_all_pass() -> None:
    """The rules for users are those that the native indicators fulfil."""
    from jts_trading.kernels.step_rules import check_definition

    for definition in NATIVE.definitions.values():
        check_definition(definition)


def test_page_when_its_example_is_put_into_a_folder_then_it_works(tmp_path: Path) -> None:
    """The file in docs/dsl.md is a file of own indicators."""
    page = (Path(__file__).parents[3] / "docs" / "dsl.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "gap.py").write_text(example, encoding="utf-8")

    catalog = load_catalog(tmp_path)

    assert "Gap" in catalog.names
    assert set(catalog.names) - set(NATIVE.names) == {"Gap"}


def test_configuration_when_it_names_a_folder_then_strategies_know_its_indicators(
    tmp_path: Path,
) -> None:
    """`jts strategy check` and the daemon read the section `indicators` of the same file."""
    write(tmp_path / "own")
    config = tmp_path / "jts.toml"
    config.write_text('[indicators]\nfolder = "own"\n', encoding="utf-8")
    text = tmp_path / "tilted.jts"
    text.write_text(TEXT, encoding="utf-8")

    settings = load_settings(read({"JTS_CONFIG": str(config)}))

    assert settings.indicators.own == tmp_path / "own"
    found = CliRunner(env={"JTS_CONFIG": str(config)}).invoke(check, [str(text), "--json"])
    assert (found.exit_code, json.loads(found.output)["ok"]) == (0, True)
    plain = CliRunner(env={"JTS_CONFIG": ""}).invoke(check, [str(text)])
    assert plain.exit_code != 0


def test_instance_when_its_text_uses_an_own_indicator_then_release_and_trader_agree(
    tmp_path: Path,
) -> None:
    """The release is named by the step too: a trader that knows another step refuses it."""
    folder = write(tmp_path / "own")
    wanted = StrategyInput(
        instance="tilted",
        strategy_id="",
        release="",
        dsl_code="",
        params={},
        broker="kis",
        account="5000000101",
        venue="KRX",
        interval="1m",
        instrument_ids=("KRX:005930",),
        allocation=Decimal(1_000_000),
        currency="KRW",
    )

    released = release(TEXT, wanted, file="tilted.jts", catalog=load_catalog(folder))
    same = release(TEXT, wanted, file="tilted.jts", catalog=load_catalog(folder))
    changed = load_catalog(write(tmp_path / "changed", value="total / period"))

    assert released == same
    assert release(TEXT, wanted, file="t.jts", catalog=changed).release != released.release
