"""The section `trading`, and sections that other rooms declare."""

from pathlib import Path

import msgspec
import pytest

from jts_trading.brokers.kis.simulator.settings import DEMO_ACCOUNT
from jts_trading.config.settings import load_settings
from jts_trading.config.source import ConfigError, ConfigSource, read

_INSTANCE = """
[[trading.instances]]
name = "one"
strategy = "texts/one.jts"
broker = "kis"
venue = "KRX"
instruments = ["KRX:005930"]
allocation = 1_000_000
currency = "KRW"
params = {fast = 5}
"""


def _file(place: Path, text: str) -> Path:
    file = place / "jts.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_trading_when_nothing_is_configured_then_three_instances_trade_on_paper() -> None:
    """The defaults are those of the demo: two on Samsung in won, one on bitcoin."""
    trading = load_settings(read({})).trading
    assert (trading.enabled, trading.mode) == (True, "paper")
    assert [(i.name, i.broker, i.account, i.interval) for i in trading.instances] == [
        ("sma-5-20", "kis", DEMO_ACCOUNT + "01", "1m"),
        ("sma-crossover", "kis", DEMO_ACCOUNT + "01", "1m"),
        ("btc-sma", "paper", "paper", "1s"),
    ]
    assert all(Path(i.strategy).is_absolute() for i in trading.instances)


def test_trading_when_a_file_names_a_relative_strategy_then_it_is_beside_the_file(
    tmp_path: Path,
) -> None:
    """Roles run elsewhere, so the path is fixed where it is read."""
    trading = load_settings(read({}, _file(tmp_path, _INSTANCE))).trading
    (only,) = trading.instances
    assert only.strategy == str(tmp_path / "texts" / "one.jts")
    assert only.params == {"fast": 5}


def _load(source: ConfigSource) -> None:
    load_settings(source)
    source.load(msgspec.Struct, "sim.kis")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[trading]\nmode = "live"', r"jts\.toml: trading\.mode is 'live'; accepted: paper"),
        ("[trading]\nmodus = 1", r"unknown key trading\.modus; did you mean mode\?"),
        (_INSTANCE + _INSTANCE, r"trading\.instances\[1\]\.name is 'one'; accepted: a name that"),
        (_INSTANCE.replace('"kis"', '"creon"'), r"broker is 'creon'; accepted: kis, paper"),
        (_INSTANCE.replace("1_000_000", "0"), r"instances\[0\]\.allocation is 0; accepted: an"),
        (_INSTANCE.replace('"KRX:005930"', ""), r"instances\[0\]\.instruments is empty"),
        (_INSTANCE.replace("currency", "currencies"), r"instances\[0\]: Object .* `currencies`"),
        ("[brokers.kiss]\naccount = 1", r"unknown brokers\.kiss; did you mean kis\?"),
        ("[broker]\nx = 1", r"unknown section broker; did you mean brokers\?"),
        ("[sim]\nkis = 3", r"sim\.kis is not a table"),
    ],
)
def test_trading_when_it_cannot_be_used_then_one_line_names_file_and_key(
    text: str, says: str, tmp_path: Path
) -> None:
    """Each mistake is one line with what would be accepted."""
    source = read({}, _file(tmp_path, text))
    with pytest.raises(ConfigError, match=says) as refused:
        _load(source)
    assert "\n" not in str(refused.value)


def test_trading_when_a_variable_names_a_relative_strategy_then_it_is_refused() -> None:
    """A variable is read in several working directories."""
    table = (
        '[{name = "a", strategy = "a.jts", broker = "kis", venue = "KRX", '
        'instruments = ["KRX:005930"], allocation = 1, currency = "KRW"}]'
    )
    with pytest.raises(ConfigError, match=r"TRADING__INSTANCES: trading\.instances\[0\]\.strat"):
        load_settings(read({"JTS_TRADING__INSTANCES": table}))


def test_sections_when_a_variable_names_a_table_within_a_section_then_it_is_loaded() -> None:
    """`JTS_BROKERS__KIS__X` is the key `x` of `[brokers.kis]`, and errors say so."""

    class Own(msgspec.Struct, forbid_unknown_fields=True):
        account: str = ""

    source = read({"JTS_BROKERS__KIS__ACCOUNT": '"50000001"'})
    load_settings(source)
    assert source.load(Own, "brokers.kis") == Own(account="50000001")
    wrong = read({"JTS_BROKERS__KIS__ACCOUNT": "50000001"})
    with pytest.raises(
        ConfigError, match=r"JTS_BROKERS__KIS__ACCOUNT: brokers\.kis\.account: Exp"
    ):
        wrong.load(Own, "brokers.kis")
