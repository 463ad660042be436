"""Settings of the daemon: closed paper mode."""

import pytest

from jts_trading.bootstrap.settings import load_daemon
from jts_trading.brokers.kis.simulator.settings import DEMO_ACCOUNT
from jts_trading.config.source import ConfigError, read


def test_daemon_when_nothing_is_configured_then_addresses_are_its_own_simulators() -> None:
    """Ports follow the port base, account and keys are the simulator's."""
    daemon = load_daemon(read({"JTS_HOME": "/srv/x", "JTS_PORT_BASE": "21000"}))
    assert daemon.kis.rest_root == "http://127.0.0.1:21011"
    assert daemon.kis.stream_root.startswith("ws://127.0.0.1:21012/")
    assert (daemon.kis.account, daemon.sim_kis.rest_port) == (DEMO_ACCOUNT, 21011)
    assert daemon.binance.rest_root == "http://127.0.0.1:21017"
    assert daemon.binance.stream_root == "ws://127.0.0.1:21018"
    assert daemon.kis.token_path == "/srv/x/trading/kis-token.json"
    assert daemon.kis_keys.app_key.reveal() == daemon.sim_kis.app_key


def test_daemon_when_the_simulator_moves_then_the_broker_follows() -> None:
    """One setting moves both ends."""
    daemon = load_daemon(read({"JTS_SIM__KIS__REST_PORT": "9911"}))
    assert daemon.kis.rest_root == "http://127.0.0.1:9911"


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (
            {"JTS_BROKERS__KIS__REST_URL": "https://openapi.koreainvestment.com:9443"},
            r"KIS__REST_URL: brokers\.kis\.rest_url is https://openapi.*; accepted in paper mode",
        ),
        (
            {"JTS_BROKERS__KIS__STREAM_URL": "ws://ops.koreainvestment.com:31000"},
            r"brokers\.kis\.stream_url is ws://ops",
        ),
        (
            {"JTS_BROKERS__KIS__REST_URL": "http://127.0.0.1.example.com"},
            r"brokers\.kis\.rest_url is http://127\.0\.0\.1\.example\.com; accepted",
        ),
        (
            {"JTS_BROKERS__KIS__ENVIRONMENT": "real"},
            r"brokers\.kis\.environment is real; accepted: paper",
        ),
        ({"JTS_TRADING__MODE": "live"}, r"trading\.mode is 'live'; accepted: paper"),
        ({"JTS_BROKERS__KIS__REST": "x"}, r"unknown key brokers\.kis\.rest; did you mean rest_u"),
        ({"JTS_SIM__BINANCE__SPEED": "fast"}, r"sim\.binance\.speed: Expected `float"),
        ({"JTS_SIM__KIS__DEPOSIT": "much"}, r"DEPOSIT: sim\.kis\.deposit: Expected `int`"),
    ],
)
def test_daemon_when_a_setting_leads_out_or_is_wrong_then_one_line_names_it(
    environ: dict[str, str], says: str
) -> None:
    """No configuration that exists today reaches a real venue."""
    with pytest.raises(ConfigError, match=says) as refused:
        load_daemon(read(environ))
    assert "\n" not in str(refused.value)
