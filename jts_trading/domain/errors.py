"""Errors of trading.

    JtsError
    ├── TransientError   may pass: retry with back-off
    ├── TerminalError    will not pass: stop and tell a person
    └── UnknownOutcome   the order may or may not exist: never retry, reconcile
    RuleMissingError     no dated rule for this venue, market, asset and day (a TerminalError)

Messages carry ids, the found value and what would be accepted; never secrets.
"""


class JtsError(Exception):
    """Root of every error that jts_trading raises."""


class TransientError(JtsError):
    """May pass: retry with back-off."""


class TerminalError(JtsError):
    """Will not pass: stop and tell a person."""


class UnknownOutcome(JtsError):  # noqa: N818 - it names a state of the world, not a mistake
    """The order may or may not exist: never retry, reconcile."""


class RuleMissingError(TerminalError):
    """No dated rule covers this venue, market, asset and day."""
