"""What is to be doubted about the best of many trials: a closed list of codes.

`docs/research.md` lists them with what to do about each.
"""

from dataclasses import dataclass
from enum import StrEnum


class FindingCode(StrEnum):
    """Why the best trial is suspicious."""

    LUCK = "luck"
    OVERFIT = "overfit"
    NEEDLE = "needle"
    AT_EDGE = "at_edge"
    REFUSED = "trials_refused"
    LOOK_AHEAD = "look_ahead"
    HOLDOUT_SEEN = "holdout_seen"
    WEAK_OUTSIDE = "weak_outside"
    UNSTABLE = "unstable"


MEANING: dict[FindingCode, str] = {
    FindingCode.LUCK: "the deflated Sharpe ratio of the best trial is below 0.95",
    FindingCode.OVERFIT: "the best inside is in the lower half outside in half of all ways",
    FindingCode.NEEDLE: "the neighbours of the best trial have less than half of its score",
    FindingCode.AT_EDGE: "the best value of a parameter is the first or last one of its range",
    FindingCode.REFUSED: "parameter sets were refused by the language or the engine",
    FindingCode.LOOK_AHEAD: "decisions of a trial changed when later bars were cut off",
    FindingCode.HOLDOUT_SEEN: "the trials ran over a hold-out that somebody has opened",
    FindingCode.WEAK_OUTSIDE: "less than half of the return inside was left outside",
    FindingCode.UNSTABLE: "the chosen parameters change in most windows",
}
"""One line per code, for people."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its code, and a sentence with its numbers."""

    code: FindingCode
    text: str

    def __str__(self) -> str:
        return self.text
