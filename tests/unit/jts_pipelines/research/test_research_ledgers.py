"""Trials and hold-outs: append-only, chained, never silently wrong."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import msgspec
import pytest

from jts_pipelines.research.chain import ChainFile
from jts_pipelines.research.holdouts import HoldoutLockedError, Holdouts, Locked
from jts_pipelines.research.trials import Slice, Trial, TrialLedger
from storage.errors import InputError, StorageError

FIRST, LAST = date(2024, 1, 2), date(2024, 6, 28)


class Fact(msgspec.Struct):
    """A payload."""

    name: str


def trial(run: str, **changes: object) -> Trial:
    """Return a trial of a run."""
    plain = {
        "family": "Cross",
        "text_digest": "t",
        "params": {"fast": "5"},
        "venue": "KRX",
        "interval": "1d",
        "from_day": FIRST,
        "to_day": LAST,
        "instruments": 8,
        "data_digest": "d",
        "run": run,
        "source": "sweep",
        "sessions": 120,
        "sharpe": 0.05,
        "trades": 40,
    }
    return Trial(**{**plain, **changes})


def test_trials_when_added_twice_then_they_count_once(tmp_path: Path) -> None:
    """Equal runs are one trial, whoever repeats them; the file keeps both lines."""
    ledger = TrialLedger(tmp_path / "research" / "trials.jsonl")
    ledger.add([trial("a"), trial("b")], 1)
    ledger.add([trial("a")], 2)

    assert [found.run for found in ledger.trials()] == ["a", "b"]
    assert ChainFile(tmp_path / "research" / "trials.jsonl").verify() == 3


def test_trials_when_asked_for_a_slice_then_only_those_that_saw_it_count(tmp_path: Path) -> None:
    """Another venue, another family or other days were no look at these data."""
    ledger = TrialLedger(tmp_path / "trials.jsonl")
    ledger.add(
        [
            trial("a"),
            trial("other venue", venue="UPBIT"),
            trial("other days", from_day=date(2020, 1, 2), to_day=date(2020, 5, 29)),
            trial("other family", family="Trend"),
            trial("one day", from_day=LAST, to_day=date(2025, 1, 2)),
        ],
        1,
    )

    found = ledger.trials("Cross", Slice("KRX", FIRST, LAST))

    assert [one.run for one in found] == ["a", "one day"]


def test_chain_when_a_line_is_changed_then_every_reader_says_where(tmp_path: Path) -> None:
    """A better number cannot be written over a worse one."""
    path = tmp_path / "trials.jsonl"
    ledger = TrialLedger(path)
    ledger.add([trial("a"), trial("b"), trial("c")], 1)
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("0.05", "0.25")
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(StorageError, match=r"trials\.jsonl:2: the chain is broken"):
        ledger.trials()


@pytest.mark.parametrize("gone", [0, 1])
def test_chain_when_a_line_is_removed_then_it_is_noticed(tmp_path: Path, gone: int) -> None:
    """A trial that went badly cannot be forgotten."""
    path = tmp_path / "trials.jsonl"
    TrialLedger(path).add([trial("a"), trial("b"), trial("c")], 1)
    lines = path.read_text().splitlines()
    del lines[gone]
    path.write_text("\n".join(lines) + "\n")

    with pytest.raises(StorageError, match="chain is broken"):
        TrialLedger(path).trials()


@pytest.mark.parametrize("left", [0, 1, 2])
def test_chain_when_its_last_lines_are_cut_off_then_it_is_noticed(
    tmp_path: Path, left: int
) -> None:
    """The trials that came last cannot be forgotten either, nor others put in their place."""
    path = tmp_path / "trials.jsonl"
    ledger = TrialLedger(path)
    ledger.add([trial("a"), trial("b"), trial("c")], 1)
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in lines[:left]))

    with pytest.raises(StorageError, match=f"3 lines were written, {left} are there"):
        ledger.trials()
    with pytest.raises(StorageError, match=f"3 lines were written, {left} are there"):
        ledger.add([trial("d")], 2)


def test_chain_when_its_file_is_gone_then_it_is_noticed(tmp_path: Path) -> None:
    """A ledger that was deleted is no empty ledger."""
    path = tmp_path / "trials.jsonl"
    TrialLedger(path).add([trial("a")], 1)
    path.unlink()

    with pytest.raises(StorageError, match="1 lines were written, 0 are there"):
        TrialLedger(path).trials()


def test_chain_when_its_end_was_written_anew_then_it_is_noticed(tmp_path: Path) -> None:
    """Lines of another chain do not end where this one did."""
    path, other = tmp_path / "trials.jsonl", tmp_path / "other.jsonl"
    TrialLedger(path).add([trial("a"), trial("b")], 1)
    TrialLedger(other).add([trial("a"), trial("better")], 1)
    path.write_bytes(other.read_bytes())

    with pytest.raises(StorageError, match="line 2 was replaced"):
        TrialLedger(path).trials()
    with pytest.raises(StorageError, match="line 2 was replaced"):
        TrialLedger(path).add([trial("c")], 2)


def test_chain_when_a_writer_was_killed_before_its_end_was_kept_then_it_goes_on(
    tmp_path: Path,
) -> None:
    """An older end lies on the chain; the next writer keeps the new one."""
    path = tmp_path / "trials.jsonl"
    ledger, chain = TrialLedger(path), ChainFile(path)
    ledger.add([trial("a")], 1)
    before = chain.end_file.read_bytes()
    ledger.add([trial("b")], 2)
    chain.end_file.write_bytes(before)

    assert len(ledger.trials()) == 2
    ledger.add([trial("c")], 3)
    assert chain.verify() == 3
    assert chain.end_file.read_bytes() != before


def test_chain_when_it_has_no_end_yet_then_the_next_writer_keeps_it(tmp_path: Path) -> None:
    """A ledger of an earlier version is read, and watched from then on."""
    path = tmp_path / "trials.jsonl"
    ledger = TrialLedger(path)
    ledger.add([trial("a"), trial("b")], 1)
    ChainFile(path).end_file.unlink()

    assert len(ledger.trials()) == 2
    ledger.add([trial("c")], 2)
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines()[:2]))
    with pytest.raises(StorageError, match="3 lines were written, 2 are there"):
        ledger.trials()


def test_chain_when_a_writer_was_killed_then_the_torn_line_goes_and_the_rest_stays(
    tmp_path: Path,
) -> None:
    """Half a line is no entry; the next writer goes on behind the last whole one."""
    path = tmp_path / "chain.jsonl"
    chain = ChainFile(path)
    chain.append([("fact", Fact("one"))], 1)
    with path.open("ab") as file:
        file.write(b'{"seq":2,"prev":"')

    assert chain.verify() == 1
    chain.append([("fact", Fact("two"))], 2)
    assert [json.loads(bytes(e.payload))["name"] for e in chain.entries()] == ["one", "two"]


def test_chain_when_many_write_at_once_then_every_line_is_whole(tmp_path: Path) -> None:
    """Writers wait for each other."""
    chain = ChainFile(tmp_path / "chain.jsonl")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: chain.append([("fact", Fact(str(n)))] * 3, n), range(20)))

    assert chain.verify() == 60


def locked(name: str = "final", **changes: object) -> Locked:
    """Return a slice to lock."""
    plain = {
        "name": name,
        "venue": "KRX",
        "from_day": date(2024, 4, 1),
        "to_day": LAST,
        "by": "Kim",
        "reason": "last check before money",
    }
    return Locked(**{**plain, **changes})


def test_holdout_when_locked_then_a_run_over_it_is_refused_with_the_way_out(
    tmp_path: Path,
) -> None:
    """The message names who locked it, the free days and the command that opens it."""
    holdouts = Holdouts(tmp_path / "holdouts.jsonl")
    holdouts.lock(locked(), 1)

    with pytest.raises(HoldoutLockedError, match=r"'final' by Kim .* --to 2024-03-31"):
        holdouts.require_open("KRX", FIRST, LAST)
    assert holdouts.require_open("KRX", FIRST, date(2024, 3, 29)) == ()
    assert holdouts.require_open("UPBIT", FIRST, LAST) == ()


def test_holdout_when_opened_then_it_says_by_whom_and_stays_open(tmp_path: Path) -> None:
    """Once seen is seen: it cannot be opened twice nor locked again."""
    holdouts = Holdouts(tmp_path / "holdouts.jsonl")
    holdouts.lock(locked(), 1)
    holdouts.open("final", by="이주한", reason="release 3", at_ns=7)

    (found,) = holdouts.all()
    assert found.opened is not None
    assert (found.opened.by, found.opened.reason, found.opened_at_ns) == ("이주한", "release 3", 7)
    assert holdouts.require_open("KRX", FIRST, LAST) == ("final",)
    with pytest.raises(InputError, match="opened by 이주한 already"):
        holdouts.open("final", by="Kim", reason="again", at_ns=8)
    with pytest.raises(InputError, match="choose another name"):
        holdouts.lock(locked(), 9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"to_day": date(2024, 1, 1)}, "ends on 2024-01-01"),
        ({"by": " "}, "by is"),
        ({"reason": ""}, "reason is"),
        ({"name": "a\nb"}, "name is"),
    ],
)
def test_holdout_when_it_says_nothing_then_it_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    """A lock without a name, a reason or a day is none."""
    with pytest.raises(InputError, match=message):
        Holdouts(tmp_path / "holdouts.jsonl").lock(locked(**changes), 1)


def test_holdout_when_unknown_then_the_known_ones_are_named(tmp_path: Path) -> None:
    """A slip of the pen opens nothing."""
    holdouts = Holdouts(tmp_path / "holdouts.jsonl")
    holdouts.lock(locked(), 1)

    with pytest.raises(InputError, match="known: final"):
        holdouts.open("fnal", by="Kim", reason="x", at_ns=2)
