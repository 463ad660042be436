"""Notices of fills as hints: they say how a step of a cumulative report splits into fills. Pure.

A report is the truth: so many filled, for so much money. The notices of the stream may come late,
twice, in another order, or never, and nothing is booked because of them. When those of an order
that are not used up yet contain a run whose quantities and amounts add up to the step exactly, the
step is booked as these fills with their own prices; else it is one fill.

Two notices with the same content are taken for one at first: a stream repeats itself more often
than a market trades the same twice in a second. If that does not add up, those that arrived apart
count apart.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from jts_trading.domain.account_reports import FillNotice, OrderReport
from jts_trading.domain.sessions import local_date

_ZERO = Decimal(0)
# An order with more pending notices than this is booked by its report.
HINTS_MAX = 512
Key = tuple[str, date, str]


class Part(NamedTuple):
    """One fill of a step.

    Attributes:
        ts_event_ns: When the venue traded; 0 where nobody said.
    """

    quantity: Decimal
    price: Decimal
    gross: Decimal
    ts_event_ns: int = 0


class HintBook:
    """The notices of one account that have not led to a booked fill yet."""

    def __init__(self) -> None:
        self._pending: dict[Key, list[FillNotice]] = {}
        self._seen: dict[Key, set[tuple[object, ...]]] = {}
        self.repeated = 0

    def add(self, notice: FillNotice) -> bool:
        """Keep a notice; return False when one of the same content was here before.

        The same delivery again, by a bus say, is not kept at all.
        """
        key = _key_of(notice)
        content, seen = _content(notice), self._seen.setdefault(key, set())
        is_repeated = content in seen
        self.repeated += is_repeated
        seen.add(content)
        waiting = self._pending.setdefault(key, [])
        if notice not in waiting and len(waiting) < HINTS_MAX:
            waiting.append(notice)
        return not is_repeated

    def split(self, report: OrderReport, quantity: Decimal, gross: Decimal) -> list[Part]:
        """Return the fills of a step of a report; empty when the notices do not add up to it."""
        waiting = self._pending.get(_key_of(report), [])
        ordered = sorted(waiting, key=lambda notice: (notice.ts_event_ns, notice.ts_recv_ns))
        for candidates in (_distinct(ordered), ordered):
            run = _run_of(candidates, quantity, gross)
            if run:
                return [_part(notice) for notice in run]
        return []

    def use(self, report: OrderReport, parts: Sequence[Part]) -> None:
        """Forget the notices that a booked step was split by."""
        key = _key_of(report)
        used = set(parts)
        left = [notice for notice in self._pending.get(key, []) if _part(notice) not in used]
        self._pending[key] = left

    @property
    def orders(self) -> int:
        """Of how many orders there are notices."""
        return len(self._seen)

    def keep_from(self, day: date) -> None:
        """Forget all orders of earlier days."""
        for key in [key for key in self._seen if key[1] < day]:
            self._seen.pop(key)
            self._pending.pop(key, None)


def _key_of(about: FillNotice | OrderReport) -> Key:
    if isinstance(about, OrderReport):
        return about.instrument_id, about.order_date, about.order_no
    return about.instrument_id, local_date(about.venue, about.ts_event_ns), about.order_no


def _content(notice: FillNotice) -> tuple[object, ...]:
    return notice.trade_id, notice.ts_event_ns, notice.side, notice.quantity, notice.price


def _distinct(notices: Sequence[FillNotice]) -> list[FillNotice]:
    found: dict[tuple[object, ...], FillNotice] = {}
    for notice in notices:
        found.setdefault(_content(notice), notice)
    return list(found.values())


def _run_of(
    notices: Sequence[FillNotice], quantity: Decimal, gross: Decimal
) -> Sequence[FillNotice]:
    """Return the newest run of neighbours that adds up exactly; empty without one."""
    for end in range(len(notices), 0, -1):
        left, worth = quantity, gross
        for start in range(end - 1, -1, -1):
            left -= notices[start].quantity
            worth -= notices[start].quantity * notices[start].price
            if left <= 0:
                break
        if left == _ZERO and worth == _ZERO:
            return notices[start:end]
    return ()


def _part(notice: FillNotice) -> Part:
    gross = notice.price * notice.quantity
    return Part(notice.quantity, notice.price, gross, notice.ts_event_ns)
