"""What the lake knows about the instruments and bars of strategy instances; pure of Dagster.

A question never sees a bar that was not available yet on the instance clock: an instance that
replays 2018 has the whole of 2018 in its lake.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from jts_pipelines.defs.listing import listed_names
from jts_pipelines.defs.trading_inputs.specs import COLD, Candidate
from storage.errors import InputError

if TYPE_CHECKING:
    from jts_pipelines.defs.house import House

# Recursive averages have forgotten their seed to about two per cent after four times their length.
WARMUP_FACTOR = 4
_DAY_S = 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": _DAY_S}

_NEWEST = """
SELECT symbol, arg_max(status, timestamp) AS status, max(timestamp) AS newest
FROM candles
WHERE venue = '{venue}' AND symbol IN ({symbols}) AND available_at <= TIMESTAMPTZ '{now}'
GROUP BY symbol
"""
_SESSIONS = """
SELECT symbol, trade_date AS day, count(*) AS bars
FROM candles
WHERE venue = '{venue}' AND interval = '{interval}' AND symbol IN ({symbols})
  AND status IN ('traded', 'auction') AND trade_date < DATE '{today}'
GROUP BY symbol, trade_date
ORDER BY symbol, trade_date
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about one instrument.

    Attributes:
        is_listed: The instance's listing names it.
        status: Of its newest bar: traded, halted ...; empty where there is none.
        newest: Start of that bar; None where there is none.
        name: What people call it; empty where the listing does not say.
    """

    is_listed: bool
    status: str
    newest: datetime | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Warmup:
    """From where the state of an instance is computed, and what there is.

    Attributes:
        epoch: First session, ISO date; empty when it starts cold or there are no bars.
        is_cold: It was asked to start without warm-up.
        needed: Bars of its base interval until every condition can be defined.
        present: Traded bars from the epoch to yesterday of the instrument with fewest.
        fewest: That instrument.
    """

    epoch: str
    needed: int
    present: int = 0
    fewest: str = ""
    is_cold: bool = False

    @property
    def is_enough(self) -> bool:
        """Whether every condition is defined on the first live bar; a cold start asks for none."""
        return self.is_cold or self.present >= self.needed


def standings(house: "House", candidate: Candidate) -> Mapping[str, Standing]:
    """Return what is known about each symbol of an instance."""
    spec, venue = candidate.spec, candidate.spec.wanted.venue
    listed = listed_names(house)
    now = datetime.fromtimestamp(house.clock.now_ns() // 1_000_000_000, UTC)
    query = _NEWEST.format(venue=venue, symbols=_quoted(spec.symbols), now=now.isoformat())
    stored = {row["symbol"]: row for row in house.sql(query).to_pylist()}
    return {
        symbol: Standing(
            is_listed=instrument in listed,
            status=stored[symbol]["status"] if symbol in stored else "",
            newest=stored[symbol]["newest"] if symbol in stored else None,
            name=listed.get(instrument, ""),
        )
        for symbol, instrument in zip(spec.symbols, spec.wanted.instrument_ids, strict=True)
    }


def warmup_of(house: "House", candidate: Candidate, *, is_kept: bool) -> Warmup:
    """Choose or check the first session of the warm-up of an instance that compiles.

    Args:
        house: Whose lake to ask.
        candidate: The instance.
        is_kept: Whether candles of its venue and interval are kept at all; where they are not and
            no epoch is named, it starts cold.

    Raises:
        InputError: The epoch is no date.
    """
    wanted = candidate.spec.wanted
    if wanted.epoch == COLD or not (is_kept or wanted.epoch):
        return Warmup("", needed_bars(candidate), is_cold=True)
    query = _SESSIONS.format(
        venue=wanted.venue,
        interval=interval_of(candidate),
        symbols=_quoted(candidate.spec.symbols),
        today=house.today(wanted.venue),
    )
    return choose_warmup(candidate, house.sql(query))


def choose_warmup(candidate: Candidate, sessions: pa.Table) -> Warmup:
    """Return the warm-up for the traded bars per symbol and session that there are.

    Args:
        candidate: An instance that compiles.
        sessions: One row per symbol and day: symbol, day, bars; by symbol and day ascending.

    Raises:
        InputError: The epoch is no date.
    """
    spec, needed = candidate.spec, needed_bars(candidate)
    bars: dict[str, dict[date, int]] = {symbol: {} for symbol in spec.symbols}
    for row in sessions.to_pylist():
        bars[row["symbol"]][row["day"]] = row["bars"]
    if spec.wanted.epoch:
        first: date | None = _day(spec.wanted.epoch)
    else:
        days = sorted({day for counted in bars.values() for day in counted})
        enough = [day for day in days if _fewest(bars, day)[1] >= WARMUP_FACTOR * needed]
        first = enough[-1] if enough else (days[0] if days else None)
    if first is None:
        return Warmup("", needed, fewest=spec.symbols[0])
    fewest, present = _fewest(bars, first)
    return Warmup(first.isoformat(), needed, present, fewest)


def needed_bars(candidate: Candidate) -> int:
    """Return the bars of the driver's interval until every condition can be defined."""
    plan = candidate.plan
    if plan is None or not plan.warmup_bars:
        return 0
    one = seconds_of(interval_of(candidate))
    seconds = {plan.base_name: one} | {frame.name: frame.seconds for frame in plan.timeframes}
    day_bars = _bars_a_day(candidate.spec.wanted.venue, one)
    return max(
        bars * (day_bars if seconds[frame] >= _DAY_S else math.ceil(seconds[frame] / one))
        for frame, bars in plan.warmup_bars.items()
    )


def interval_of(candidate: Candidate) -> str:
    """Return the interval of the bars that the driver sees: the text's own where it names one."""
    plan = candidate.plan
    named = plan.base_interval if plan is not None else None
    return named or candidate.spec.wanted.interval


def seconds_of(interval: str) -> int:
    """Return the length of an interval such as `1m`, which was checked before."""
    return int(interval[:-1]) * _UNITS[interval[-1]]


def _bars_a_day(venue: str, seconds: int) -> int:
    # The regular session of KRX has six and a half hours; crypto never closes.
    hours = 6.5 if venue in {"KRX", "NXT", "US"} else 24.0
    return max(math.ceil(hours * 3600 / seconds), 1)


def _fewest(bars: Mapping[str, Mapping[date, int]], first: date) -> tuple[str, int]:
    counted = {
        symbol: sum(n for day, n in days.items() if day >= first) for symbol, days in bars.items()
    }
    symbol = min(counted, key=lambda each: (counted[each], each))
    return symbol, counted[symbol]


def _day(epoch: str) -> date:
    try:
        return date.fromisoformat(epoch)
    except ValueError as error:
        raise InputError(
            f"epoch is {epoch!r}; accepted: a date such as 2018-02-23, empty, or {COLD}"
        ) from error


def _quoted(symbols: Iterable[str]) -> str:
    # Symbols were parsed: none holds a quote.
    return ", ".join(f"'{symbol}'" for symbol in symbols)
