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


def _findings(home: Path, free_share: float, **environ: str) -> dict[str, Finding]:
    settings = load_settings(read({"JTS_HOME": str(home), **environ}))
    total = 1_000_000_000_000
    usage = (total, int(total * (1 - free_share)), int(total * free_share))
    return {finding.question: finding for finding in examine(settings, lambda _: usage)}


def test_examine_when_space_is_short_then_each_place_fails_and_says_why(tmp_path: Path) -> None:
    """Under a tenth free is not fit, for hot, warm and cold alike."""
    findings = _findings(tmp_path, 0.09)
    places = [finding for name, finding in findings.items() if name.startswith("place ")]
    assert [place.passed for place in places] == [False] * 5
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
