"""`jts doctor`."""

import json
from pathlib import Path

import pytest

from jts_pipelines.cli.__main__ import main
from jts_pipelines.cli.doctor import Finding, device_class, examine, mount_of
from jts_trading.config.settings import load_settings
from jts_trading.config.source import read

_MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
nas:/archive /srv/cold nfs4 rw 0 0
tmpfs /srv/cold/fast tmpfs rw 0 0
/dev/nvme0n1p1 /srv/with\\040space xfs rw 0 0
"""


_TAKEN = 30_001


def _findings(home: Path, free_share: float, **environ: str) -> dict[str, Finding]:
    source = read({"JTS_HOME": str(home), **environ})
    total = 1_000_000_000_000
    usage = (total, int(total * (1 - free_share)), int(total * free_share))
    findings = examine(load_settings(source), source, lambda _: usage, lambda port: port != _TAKEN)
    return {finding.question: finding for finding in findings}


def test_examine_when_space_is_short_then_each_place_fails_and_says_why(tmp_path: Path) -> None:
    """Under a tenth free is not fit, for hot, warm and cold alike."""
    findings = _findings(tmp_path, 0.09)
    places = [finding for name, finding in findings.items() if name.startswith("place ")]
    assert [place.passed for place in places] == [False] * 6
    assert "at least 10% must be free" in findings["place hot"].found
    assert findings["Python"].passed


def test_examine_when_space_is_enough_then_all_is_fit(tmp_path: Path) -> None:
    """A machine on which the tests run is fit."""
    assert [f for f in _findings(tmp_path, 0.5).values() if not f.passed] == []


def test_examine_when_a_dsn_has_a_password_then_it_is_masked(tmp_path: Path) -> None:
    """The report may be sent to somebody."""
    findings = _findings(tmp_path, 0.5, JTS_HOT__DSN="http://desk:canary-2e@db:8123/x")
    assert findings["server hot"].found == "configured: http://desk:***@db:8123/x"
    assert "canary-2e" not in str(findings)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/home/desk", ("/dev/vda1", "ext4")),
        ("/srv/cold/2024", ("nas:/archive", "nfs4")),
        ("/srv/cold/fast/x", ("tmpfs", "tmpfs")),
        ("/srv/with space/hot", ("/dev/nvme0n1p1", "xfs")),
        ("/srv/colder", ("/dev/vda1", "ext4")),
    ],
)
def test_mount_of_when_mounts_nest_then_the_innermost_counts(
    path: str, found: tuple[str, str]
) -> None:
    """Paths are compared by their parts, not by their letters."""
    assert mount_of(Path(path), _MOUNTS) == found


@pytest.mark.parametrize(
    ("device", "kind", "found"),
    [
        ("nas:/archive", "nfs4", "network"),
        ("tmpfs", "tmpfs", "memory"),
        ("/dev/nvme0n1p1", "xfs", "NVMe"),
        ("/dev/vda1", "ext4", "virtual disk"),
        ("overlay", "overlay", "unknown class"),
    ],
)
def test_device_class_when_asked_then_it_names_what_the_tier_stands_on(
    device: str, kind: str, found: str
) -> None:
    """Hot wants NVMe, cold may be a network: the report says what is there."""
    assert device_class(device, kind) == found


def test_doctor_when_json_is_asked_for_then_it_prints_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The document's verdict and the exit code agree, and nothing is written into the home."""
    monkeypatch.setenv("JTS_HOME", str(tmp_path / "home"))
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert left.value.code == (0 if document["passed"] else 1)
    assert {"question", "passed", "found"} == set(document["findings"][0])
    assert not (tmp_path / "home").exists()


def test_examine_when_trading_is_asked_then_instances_ports_and_kill_switch_are_told(
    tmp_path: Path,
) -> None:
    """What would be traded, whether simulators can listen, and who latched the switch."""
    findings = _findings(tmp_path, 0.5)
    assert findings["trading"].found.startswith("mode paper: sma-5-20 (SMA_5_20@")
    assert findings["ports sim-kis"].found == "8801, 8802: free"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "KILL").write_text('{"level": 1, "who": "kim", "why": "lunch"}')
    latched = _findings(tmp_path, 0.5)["kill switch"]
    assert (latched.passed, latched.found) == (
        False,
        "latched at level 1 by kim: lunch; see: jts unkill",
    )


def test_examine_when_trading_cannot_start_then_it_says_why(tmp_path: Path) -> None:
    """A strategy that is not there and a port that is taken are found before `jts up`."""
    table = (
        '[{name = "a", strategy = "/no/a.jts", broker = "kis", venue = "KRX", '
        'instruments = ["KRX:005930"], allocation = 1, currency = "KRW"}]'
    )
    environ = {"JTS_TRADING__INSTANCES": table, "JTS_INSTANCE__SIM_KIS_REST_PORT": str(_TAKEN)}
    findings = _findings(tmp_path, 0.5, **environ)
    assert not findings["trading"].passed
    assert "/no/a.jts: No such file" in findings["trading"].found
    assert not findings["ports sim-kis"].passed
    assert f"taken: {_TAKEN} by" in findings["ports sim-kis"].found
    off = _findings(tmp_path, 0.5, JTS_TRADING__ENABLED="false", **environ)
    assert off["trading"].found == "off: trading.enabled is false"
