"""The state on disk: what a killed trader goes on from.

Theory of operation. Two files, each replaced at once and with a digest over its content. The
account file is small and written before the facts of a decision are committed: it holds the state
after the decision, the place in every topic, and the facts. So a trader that is killed commits the
same facts again (the journal knows them by their ids) and goes on behind them. The market file is
large and written now and then; what lies between its place and that of the account file is read
again without deciding anything.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from jts_trading.domain.journal_events import DecisionRecorded, IntentRecorded, SignalRecorded
from jts_trading.engine.events import Effect
from jts_trading.engine.halves import AccountHalf, MarketHalf
from jts_trading.ports.journal import Consumed

MARKET_FILE, ACCOUNT_FILE = "market.snapshot", "accounts.snapshot"
_DIGEST_BYTES = 32
_File = TypeVar("_File", bound=msgspec.Struct)
Places = dict[str, str]
"""Topic to the id of the last entry that was taken in."""


class PendingFact(msgspec.Struct, frozen=True, array_like=True):
    """A fact that is being committed."""

    event: DecisionRecorded | SignalRecorded | IntentRecorded
    event_id: str
    correlation_id: str
    causation_id: str

    @classmethod
    def of(cls, effect: Effect) -> "PendingFact":
        """Return the fact of an effect.

        Raises:
            TypeError: It is none.
        """
        event = effect.event
        if not isinstance(event, DecisionRecorded | SignalRecorded | IntentRecorded):
            raise TypeError(f"{type(event).__name__} is no fact")
        return cls(event, effect.event_id, effect.correlation_id, effect.causation_id)


class MarketFile(msgspec.Struct, kw_only=True):
    """Content of the market file."""

    version: int = 1
    places: Places
    half: MarketHalf


class AccountFile(msgspec.Struct, kw_only=True):
    """Content of the account file.

    Attributes:
        ts_ns: When it was written, instance time, UTC ns.
        ticks: Number of the newest tick of each feed whose consequences are in here.
        pending: Facts that may not be committed yet, with the input that they come from.
    """

    version: int = 1
    ts_ns: int
    places: Places
    ticks: dict[str, int]
    half: AccountHalf
    pending: list[PendingFact]
    consumed: Consumed | None = None


class Snapshots:
    """The two files of one trader.

    Args:
        directory: Where they are; made if it does not exist.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.damaged: list[str] = []

    def read(self) -> tuple[MarketFile, AccountFile] | None:
        """Return both files, or None when one is missing or damaged (then `damaged` names it)."""
        market = self._load(MARKET_FILE, MarketFile)
        accounts = self._load(ACCOUNT_FILE, AccountFile)
        if market is None or accounts is None:
            return None
        return market, accounts

    def write_market(self, content: bytes) -> None:
        """Replace the market file; the content is an encoded `MarketFile`."""
        self._replace(MARKET_FILE, content)

    def write_accounts(self, file: AccountFile) -> None:
        """Replace the account file."""
        self._replace(ACCOUNT_FILE, msgspec.msgpack.encode(file))

    def _load(self, name: str, kind: type[_File]) -> _File | None:
        path = self._directory / name
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return None
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        try:
            if hashlib.sha256(content).digest() != digest:
                raise ValueError("its digest is another")  # noqa: TRY301 - one way out
            return msgspec.msgpack.decode(content, type=kind)
        except (msgspec.DecodeError, ValueError) as error:
            self.damaged.append(f"{path}: {error}")
            return None

    def _replace(self, name: str, content: bytes) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{name}.", dir=self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(content).digest())
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).replace(self._directory / name)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise

    def settle(self) -> None:
        """Make sure that what was written is found after a loss of power, too."""
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
