"""The ledger of trials: everything that was ever tried on which data.

Who tries enough finds something. A figure of a backtest means little without the number of trials
that it is the best of, so each run is written down: by hand, by a sweep or by a walk-forward. One
run twice (equal digests) is one trial. The file is `<home>/research/trials.jsonl`, see `chain`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec

from jts_pipelines.research.chain import ChainFile
from storage.errors import StorageError

FILE = Path("research/trials.jsonl")
"""Where an instance keeps its ledger, below its root."""

_KIND = "trial"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter set over one slice of data.

    Attributes:
        family: Name of the strategy, whatever its text and parameters are.
        text_digest: Of the normalised text.
        params: As they would be written.
        venue: Of the slice.
        interval: Of the bars that decide.
        from_day: First session.
        to_day: Last session.
        instruments: How many.
        data_digest: Of the bars.
        run: Name of the run, see `request.run_id`.
        source: What tried it: backtest, sweep or walk_forward.
        sessions: Returns behind the figures.
        sharpe: Of one session; None where it is not defined.
        trades: Closed ones.
        holdouts: Opened hold-outs that the slice reaches into.
        tried_by: Who asked, where that is known.
    """

    family: str
    text_digest: str
    params: dict[str, str]
    venue: str
    interval: str
    from_day: date
    to_day: date
    instruments: int
    data_digest: str
    run: str
    source: str
    sessions: int
    sharpe: float | None
    trades: int
    holdouts: tuple[str, ...] = ()
    tried_by: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """Which data a question is about."""

    venue: str
    from_day: date
    to_day: date

    def overlaps(self, trial: Trial) -> bool:
        """Return whether a trial saw a session of this slice."""
        return (
            trial.venue == self.venue
            and trial.from_day <= self.to_day
            and self.from_day <= trial.to_day
        )


class TrialLedger:
    """Every trial of an instance.

    Args:
        path: The file, usually `<home>/research/trials.jsonl`.
    """

    def __init__(self, path: Path) -> None:
        self._chain = ChainFile(path)

    def add(self, trials: Iterable[Trial], at_ns: int) -> None:
        """Write trials down.

        Raises:
            StorageError: The ledger is damaged or cannot be written.
        """
        self._chain.append([(_KIND, trial) for trial in trials], at_ns)

    def trials(self, family: str | None = None, seen: Slice | None = None) -> list[Trial]:
        """Return distinct trials, oldest first.

        Args:
            family: Only those of this strategy.
            seen: Only those whose data overlap with this slice.

        Raises:
            StorageError: The chain is broken.
        """
        found: dict[str, Trial] = {}
        for entry in self._chain.entries():
            try:
                trial = msgspec.json.decode(entry.payload, type=Trial)
            except msgspec.MsgspecError as error:
                raise StorageError(f"entry {entry.seq} is no trial: {error}") from error
            if family is not None and trial.family != family:
                continue
            if seen is None or seen.overlaps(trial):
                found.setdefault(trial.run, trial)
        return list(found.values())
