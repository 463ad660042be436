"""Equity of each account over time: what R06 and R07 measure losses from.

The track follows the result, not the money: what is paid in or taken out moves its starting points
along. It is noted in the journal when it has moved noticeably, so that a restart goes on with it.
A daily loss that was reached stays reached until the next trading day.
"""

import contextlib
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

import msgspec

from jts_trading.domain.journal_events import NoteRecorded
from jts_trading.domain.ledger_rows import BalanceRow, LedgerAccount
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.portfolio.valuation import EquityTrack, follow
from jts_trading.ports.journal import Fact, Journal
from jts_trading.risk.facts import EquityMarks

NOTE_TOPIC = "equity_track"
# A change of the equity by this share of the peak is worth a note.
_NOTED_SHARE = Decimal("0.001")
_NOTES_MAX = 500
_ZERO = Decimal(0)


class TrackNote(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a note `equity_track`; its subject is `<broker>/<account>/<currency>`.

    Attributes:
        paid_in: Deposits less withdrawals so far, at cost for instruments.
        is_day_stopped: The daily loss was reached on the day of the track.
    """

    track: EquityTrack
    paid_in: Decimal
    is_day_stopped: bool = False


class Books:
    """Balances of one account in one currency, folded for risk.

    Args:
        balances: All balances of the account.
        currency: Whose cash and positions count.
    """

    def __init__(self, balances: tuple[BalanceRow, ...], currency: str) -> None:
        rows = [row for row in balances if row.currency == currency]
        self.cash = _sum(rows, LedgerAccount.CASH)
        self.paid_in = -_sum(rows, LedgerAccount.CAPITAL)
        self.holdings: dict[str, Decimal] = {}
        self._own: dict[tuple[str, str], Decimal] = {}
        for row in rows:
            if row.ledger is LedgerAccount.POSITION and row.quantity:
                held = self.holdings.get(row.instrument_id, _ZERO)
                self.holdings[row.instrument_id] = held + row.quantity
                self._own[row.instance, row.instrument_id] = row.quantity

    def own(self, instance: str, instrument_id: str) -> Decimal:
        """Return what a strategy instance holds of an instrument."""
        return self._own.get((instance, instrument_id), _ZERO)

    def equity(self, marks: Mapping[str, Decimal]) -> Decimal | None:
        """Return cash and positions at these prices; None when one is missing."""
        total = self.cash
        for instrument_id, quantity in self.holdings.items():
            mark = marks.get(instrument_id)
            if mark is None and quantity:
                return None
            total += quantity * (mark or _ZERO)
        return total


class EquityBook:
    """Tracks of all accounts.

    Args:
        record: Commits a note; what it cannot commit is noted again later.
    """

    def __init__(self, record: Callable[[Fact], None]) -> None:
        self._record = record
        self._notes: dict[str, TrackNote] = {}
        self._noted: dict[str, TrackNote] = {}

    async def restore(self, journal: Journal) -> None:
        """Go on with what an earlier life noted.

        Raises:
            JournalUnavailableError: The journal did not answer.
        """
        for row in await journal.stream(f"note/{NOTE_TOPIC}", newest=_NOTES_MAX):
            # A note of another shape is as good as none: the track then begins anew.
            with contextlib.suppress(msgspec.DecodeError):
                event = msgspec.json.decode(row.payload, type=NoteRecorded)
                note = msgspec.json.decode(event.body, type=TrackNote)
                self._notes[event.subject] = self._noted[event.subject] = note

    def marks(self, subject: str) -> EquityMarks | None:
        """Return what losses of an account are measured from; None before its first equity."""
        note = self._notes.get(subject)
        if note is None:
            return None
        return EquityMarks(
            at_start=note.track.day_start,
            highest=note.track.peak,
            is_day_stopped=note.is_day_stopped,
        )

    def follow(
        self,
        subject: str,
        books: Books,
        marks: Mapping[str, Decimal],
        limits: RiskLimits,
        *,
        day: date,
        now_ns: int,
    ) -> TrackNote | None:
        """Take the newest equity; return the track, None when the equity is not known.

        Args:
            subject: `<broker>/<account>/<currency>`.
            books: Of the account.
            marks: Newest prices.
            limits: The daily loss that stops a day.
            day: Trading day at the venue of the account.
            now_ns: Instance time, UTC ns.
        """
        equity = books.equity(marks)
        if equity is None:
            return None
        before = self._notes.get(subject)
        moved = books.paid_in - before.paid_in if before else _ZERO
        track = follow(_moved(before.track, moved) if before else None, day, equity)
        is_same_day = before is not None and before.track.day == track.day
        lost = track.day_start - equity
        note = TrackNote(
            track=track,
            paid_in=books.paid_in,
            is_day_stopped=(
                (is_same_day and before is not None and before.is_day_stopped)
                or (track.day_start > 0 and lost >= limits.daily_loss_max * track.day_start)
            ),
        )
        self._notes[subject] = note
        if self._is_worth_noting(subject, note):
            self._noted[subject] = note
            self._record(_fact(subject, note, now_ns))
        return note

    def _is_worth_noting(self, subject: str, note: TrackNote) -> bool:
        known = self._noted.get(subject)
        if known is None:
            return True
        is_other = (known.track.day, known.paid_in, known.is_day_stopped) != (
            note.track.day,
            note.paid_in,
            note.is_day_stopped,
        )
        moved = abs(note.track.equity - known.track.equity)
        return is_other or (moved > 0 and moved >= _NOTED_SHARE * note.track.peak)


def _moved(track: EquityTrack, by: Decimal) -> EquityTrack:
    return EquityTrack(
        day=track.day,
        day_start=track.day_start + by,
        equity=track.equity + by,
        peak=track.peak + by,
    )


def _fact(subject: str, note: TrackNote, now_ns: int) -> Fact:
    body = msgspec.json.encode(note, order="sorted").decode()
    event = NoteRecorded(topic=NOTE_TOPIC, subject=subject, body=body)
    return Fact(event, now_ns, event_id=f"equity/{subject}/{now_ns}")


def _sum(rows: list[BalanceRow], ledger: LedgerAccount) -> Decimal:
    return sum((row.amount for row in rows if row.ledger is ledger), _ZERO)
