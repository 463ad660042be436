"""The composed settings of one installation."""

from pathlib import Path

import pytest

from jts_trading.config.settings import Settings, load_settings
from jts_trading.config.source import ConfigError, read


def _settings(environ: dict[str, str], file: Path | None = None) -> Settings:
    return load_settings(read(environ, file))


def test_load_settings_when_nothing_is_configured_then_design_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Home is `./var`, the ports are the documented ones, every store is embedded."""
    monkeypatch.chdir(tmp_path)
    settings = _settings({})
    assert settings.instance.root == tmp_path / "var"
    ports = [
        settings.instance.port(p) for p in ("gateway", "dagster", "code_server", "clickhouse")
    ]
    assert ports == [8700, 3000, 3001, 8123]
    assert settings.hot_dsn == "http://127.0.0.1:8123"
    assert settings.dagster_url.startswith("postgresql+psycopg2://postgres@/dagster?host=/")
    assert settings.redis_dsn == f"unix://{settings.instance.redis_socket}"
    assert (settings.tiers.hot_days, settings.tiers.warm_days) == (7, 90)
    assert settings.file is None


def test_load_settings_when_home_and_port_base_are_set_then_all_places_follow() -> None:
    """Another home with another port base shares no path, socket or port with the first."""
    one = _settings({"JTS_HOME": "/srv/one", "JTS_PORT_BASE": "9100"}).instance
    two = _settings({"JTS_HOME": "/srv/two", "JTS_PORT_BASE": "9200"}).instance
    ports = [one.port(p) for p in ("gateway", "dagster", "code_server", "clickhouse")]
    assert ports == [9100, 9101, 9102, 9103]
    assert [one.port(f"sim_{name}") for name in ("kis_rest", "binance_stream")] == [9111, 9118]
    assert one.socket_directory != two.socket_directory
    assert one.run_directory == Path("/srv/one/run")
    assert len(str(one.redis_socket)) < 100


def test_load_settings_when_one_port_is_set_then_the_others_stay() -> None:
    """Every port is configuration of its own, before the port base."""
    environ = {"JTS_PORT_BASE": "9100", "JTS_INSTANCE__DAGSTER_PORT": "3333"}
    instance = _settings(environ).instance
    assert (instance.port("dagster"), instance.port("gateway")) == (3333, 9100)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"JTS_PORT_BASE": "80"}, r"instance\.port_base is 80; accepted: 1024 to 65500"),
        ({"JTS_PORT_BASE": "x"}, r"JTS_PORT_BASE: instance\.port_base: Expected `int \| null`"),
        ({"JTS_INSTANCE__GATEWAY_PORT": "70000"}, r"instance\.gateway_port is 70000"),
        ({"JTS_CLOCK__SPEED": "0"}, r"JTS_CLOCK__SPEED: clock\.speed is 0"),
        ({"JTS_CLOCK__SPEED": "nan"}, r"clock\.speed is nan"),
        ({"JTS_CLOCK__EPOCH": "2025-06-30T16:00:00"}, r"clock\.epoch is '2025-06-30T16:00:00'"),
        ({"JTS_HOT__DSN": "mysql://h/x"}, r"hot\.dsn is mysql://h/x; accepted: http://, https://"),
        ({"JTS_REDIS__DSN": "http://h"}, r"redis\.dsn is http://h; accepted: redis://"),
        ({"JTS_POSTGRES__DSN": "sqlite:///x"}, r"postgres\.dsn has the scheme sqlite"),
        ({"JTS_DAGSTER_PG_URL": "sqlite:///x"}, r"dagster\.dsn has the scheme sqlite"),
        ({"JTS_LOGGING__LEVEL": "loud"}, r"logging\.level: Invalid enum value 'loud'"),
        ({"JTS_TIERS__HOT_DAY": "7"}, r"unknown key tiers\.hot_day; did you mean hot_days\?"),
        ({"JTS_HOTT__DSN": "http://h"}, r"unknown section hott; did you mean hot\?"),
    ],
)
def test_load_settings_when_a_value_cannot_be_used_then_it_and_its_origin_are_named(
    environ: dict[str, str], says: str
) -> None:
    """Each bad value is one line that names it, where it was set and what is accepted."""
    with pytest.raises(ConfigError, match=says) as refused:
        _settings(environ)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["2025-06-30T16:00:00+09:00", '"2025-06-30T16:00:00+09:00"'])
def test_load_settings_when_the_epoch_is_written_as_toml_time_then_it_is_taken(
    text: str, tmp_path: Path
) -> None:
    """With or without quotes, in the file or in a variable, an instant is an instant."""
    file = tmp_path / "jts.toml"
    file.write_text(f"[clock]\nepoch = {text}\n", encoding="utf-8")
    epochs = {_settings({}, file).clock.epoch, _settings({"JTS_CLOCK__EPOCH": text}).clock.epoch}
    assert epochs == {"2025-06-30T16:00:00+09:00"}


def test_load_settings_when_home_looks_like_a_number_then_it_is_a_directory() -> None:
    """`JTS_HOME` is text whatever it looks like."""
    assert _settings({"JTS_HOME": "2025"}).instance.root.name == "2025"


def test_load_settings_when_a_bad_dsn_has_a_password_then_it_is_not_shown() -> None:
    """An error line may land in a log: a password never does."""
    with pytest.raises(ConfigError) as refused:
        _settings({"JTS_HOT__DSN": "ftp://desk:canary-7f3@h/x"})
    assert "canary-7f3" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_dagster_url_when_any_spelling_is_given_then_psycopg2_is_named(scheme: str) -> None:
    """SQLAlchemy 2.1 would take a plain `postgresql://` for a driver that is not installed."""
    settings = _settings({"JTS_DAGSTER__DSN": f"{scheme}://desk:x@db:5432/runs"})
    assert settings.dagster_url == "postgresql+psycopg2://desk:x@db:5432/runs"


def test_dagster_url_when_the_variable_is_set_then_it_wins() -> None:
    """`JTS_DAGSTER_PG_URL` is what dagster.yaml reads, so it overrides the section."""
    environ = {
        "JTS_DAGSTER__DSN": "postgresql://h/section",
        "JTS_DAGSTER_PG_URL": "postgresql://h/variable",
    }
    assert _settings(environ).dagster_url == "postgresql+psycopg2://h/variable"


def test_load_settings_when_one_tier_key_is_set_then_the_others_keep_their_defaults() -> None:
    """`[tiers]` overrides `storage/tiers.toml` key by key."""
    tiers = _settings({"JTS_TIERS__WARM_DAYS": "30"}).tiers
    assert (tiers.hot_days, tiers.warm_days) == (7, 30)
