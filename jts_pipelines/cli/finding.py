"""One answer of `jts doctor`."""

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question.

    Attributes:
        question: What was looked at.
        passed: False if JTS will not work well like this.
        found: What there is, and what would be accepted if that is not enough.
    """

    question: str
    passed: bool
    found: str
