"""Trading inputs from the configuration, and their file."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from jts_trading.config.source import ConfigError, ConfigSource, read
from jts_trading.domain.trading_inputs import TradingInputs
from jts_trading.ports.approvals import APPROVAL, RELEASES, text_digest
from jts_trading.ports.inputs import (
    configured_inputs,
    current_inputs,
    inputs_file,
    read_inputs,
    write_inputs,
)
from jts_trading.strategy.releases import strategy_id

_TEXT = """strategy("Own") {
  indicators { fast = SMA(period: 5)  slow = SMA(period: 20) }
  entry.long { when (fast crosses above slow) { buy(quantity: "5%", type: "market") } }
  exit.long { when (fast crosses below slow) { sell(quantity: "all", type: "market") } }
}
"""
_CONFIG = """
[risk]
price_collar = 0.05

[[trading.instances]]
name = "own"
strategy = "own.jts"
broker = "kis"
venue = "KRX"
instruments = ["KRX:005930"]
allocation = 1_000_000
currency = "KRW"
"""


def _source(place: Path, config: str = _CONFIG, text: str = _TEXT) -> ConfigSource:
    (place / "own.jts").write_text(text, encoding="utf-8")
    file = place / "jts.toml"
    file.write_text(config, encoding="utf-8")
    return read({}, file)


def test_inputs_when_configured_then_release_and_limits_are_resolved(tmp_path: Path) -> None:
    """The release is named by its digest, its id by its name, limits come from `[risk]`."""
    inputs = configured_inputs(_source(tmp_path), version=3, created_ns=7)
    (own,) = inputs.instances
    assert (inputs.version, inputs.created_ns, inputs.source) == (3, 7, "configuration")
    assert own.release.startswith("Own@")
    assert own.strategy_id == strategy_id(own.release)
    assert (own.account, own.interval, own.allocation) == ("5000000101", "1m", Decimal(1_000_000))
    assert own.dsl_code == _TEXT
    assert inputs.risk.price_collar == Decimal("0.05")


def test_release_when_text_parameters_or_epoch_change_then_its_name_does(tmp_path: Path) -> None:
    """Layout does not count, everything that can change a signal does."""
    one = configured_inputs(_source(tmp_path), version=1, created_ns=0).instances[0].release
    names = {one}
    for config, text in (
        (_CONFIG, _TEXT.replace("period: 5", "period: 6")),
        (_CONFIG + 'epoch = "2025-06-02"\n', _TEXT),
    ):
        source = _source(tmp_path, config, text)
        names.add(configured_inputs(source, version=1, created_ns=0).instances[0].release)
    assert len(names) == 3
    spaced = _source(tmp_path, text=_TEXT.replace("  ", "\n"))
    assert configured_inputs(spaced, version=1, created_ns=0).instances[0].release == one


def test_current_inputs_when_the_configuration_changes_then_a_new_version_is_written(
    tmp_path: Path,
) -> None:
    """The same configuration again writes nothing; another one is the next version."""
    home = tmp_path / "home"
    first = current_inputs(home, _source(tmp_path), created_ns=1)
    again = current_inputs(home, _source(tmp_path), created_ns=2)
    assert first == again == read_inputs(home)
    changed = _source(tmp_path, _CONFIG.replace("0.05", "0.04"))
    assert current_inputs(home, changed, created_ns=3).version == 2


def test_current_inputs_when_dagster_made_them_then_they_stay(tmp_path: Path) -> None:
    """A materialisation outranks the configuration."""
    home = tmp_path / "home"
    made = TradingInputs(version=9, created_ns=1, source="run-1", instances=())
    write_inputs(home, made)
    assert current_inputs(home, _source(tmp_path), created_ns=2) == made


_APPROVED = '[trading]\nreleases = "approved"\n' + _CONFIG


def _release(home: Path, text: str) -> None:
    folder = home / RELEASES / f"own@{text_digest(text)}"
    folder.mkdir(parents=True)
    (folder / APPROVAL).write_text("{}", encoding="utf-8")


def test_inputs_when_releases_must_be_approved_then_another_text_is_refused(
    tmp_path: Path,
) -> None:
    """The text itself counts, not its name; line ends do not."""
    home, source = tmp_path / "home", _source(tmp_path, _APPROVED)
    with pytest.raises(ConfigError, match=r"own is not released: no release of this text"):
        current_inputs(home, source, created_ns=1)
    assert read_inputs(home) is None

    _release(home, _TEXT)

    assert [each.instance for each in current_inputs(home, source, created_ns=2).instances] == [
        "own"
    ]
    windows = _source(tmp_path, _APPROVED, _TEXT.replace("\n", "\r\n"))
    assert current_inputs(home, windows, created_ns=3).instances
    changed = _source(tmp_path, _APPROVED, _TEXT.replace("period: 5", "period: 6"))
    with pytest.raises(ConfigError, match="own is not released"):
        current_inputs(home, changed, created_ns=4)


def test_inputs_when_released_text_gets_other_parameters_then_it_is_refused(
    tmp_path: Path,
) -> None:
    """What passed the gates had the parameters that stand in it."""
    home = tmp_path / "home"
    text = _TEXT.replace("period: 5", "period: n").replace(
        "indicators", "params { n = 5 }\n  indicators", 1
    )
    _release(home, text)

    same = _source(tmp_path, _APPROVED + "params = { n = 5 }\n", text)
    assert current_inputs(home, same, created_ns=1).instances
    other = _source(tmp_path, _APPROVED + "params = { n = 6 }\n", text)
    with pytest.raises(ConfigError, match="the released text has other parameters"):
        current_inputs(home, other, created_ns=2)


def test_inputs_when_paused_or_from_dagster_then_approval_is_asked_of_what_may_enter(
    tmp_path: Path,
) -> None:
    """Positions can always be left; a document of Dagster is no way round."""
    home = tmp_path / "home"
    paused = _source(tmp_path, _APPROVED + 'status = "paused"\n')
    (only,) = current_inputs(home, paused, created_ns=1).instances
    assert only.status == "paused"

    active = msgspec.structs.replace(only, status="active")
    made = TradingInputs(version=9, created_ns=1, source="run-1", instances=(active,))
    write_inputs(home, made)
    with pytest.raises(ConfigError, match="own is not released"):
        current_inputs(home, paused, created_ns=2)
    assert current_inputs(home, _source(tmp_path), created_ns=3) == made


@pytest.mark.parametrize(
    ("config", "text", "says"),
    [
        (_CONFIG, "strategy(", r"instances\[0\]\.strategy: .*own\.jts:1:10: "),
        (_CONFIG.replace("own.jts", "no.jts"), _TEXT, r"\.strategy: .*no\.jts: No such file"),
        (_CONFIG.replace('"KRX"', '"BINANCE"'), _TEXT, r"KRX:005930 does not trade on BINANCE"),
        (_CONFIG.replace("005930", "5930"), _TEXT, r"own: '5930' is no symbol of KRX"),
        (_CONFIG + 'interval = "minute"\n', _TEXT, r"interval is 'minute'; accepted: a number"),
        (_CONFIG + 'epoch = "June"\n', _TEXT, r"epoch is 'June'; accepted: an ISO date"),
        ('[trading]\nreleases = "some"\n' + _CONFIG, _TEXT, r"trading\.releases"),
        (_CONFIG.replace("price_collar", "collar"), _TEXT, r"unknown key risk\.collar"),
    ],
)
def test_inputs_when_they_cannot_be_resolved_then_one_line_names_the_key(
    config: str, text: str, says: str, tmp_path: Path
) -> None:
    """What is wrong with an instance is said before anything starts."""
    source = _source(tmp_path, config, text)
    with pytest.raises(ConfigError, match=says) as refused:
        configured_inputs(source, version=1, created_ns=0)
    assert "\n" not in str(refused.value)


def test_inputs_when_the_file_is_damaged_then_it_is_named(tmp_path: Path) -> None:
    """Nobody guesses what was to be traded."""
    inputs_file(tmp_path).parent.mkdir(parents=True)
    inputs_file(tmp_path).write_bytes(b'{"type": "trading_inputs"')
    with pytest.raises(ConfigError, match=r"inputs\.json: no trading inputs"):
        read_inputs(tmp_path)


def test_inputs_when_written_then_the_same_are_read(tmp_path: Path) -> None:
    """The file is JSON of the struct, amounts exact."""
    inputs = configured_inputs(_source(tmp_path), version=1, created_ns=5)
    write_inputs(tmp_path, inputs)
    assert read_inputs(tmp_path) == inputs
    assert msgspec.json.decode(inputs_file(tmp_path).read_bytes())["version"] == 1
