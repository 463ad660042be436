"""What the simulated market plays: recorded sessions from a data folder, or generated ones.

Recorded sessions are played on their own dates, or mapped onto the days of the instance: each day
of KRX takes the next session by the time of day, and after the last the first comes again. Which
session a day takes depends on the day alone, so a simulator that starts again plays the same one.
Shares are never lost by mapping: what would lie behind the close of a shorter day trades in its
last minute.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from jts_trading.brokers.kis.simulator.player import MarketDay, World
from jts_trading.brokers.kis.simulator.settings import SimulatorSettings
from jts_trading.domain.errors import TerminalError
from jts_trading.domain.instruments import parse_market
from jts_trading.domain.market.ladder import Ladder
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.prices import daily_limits, order_ladder
from jts_trading.domain.sessions import calendar_for, local_date
from jts_trading.simulation.krx_market import Listing
from jts_trading.simulation.tape import TapeBar

_MINUTE_NS = 60_000_000_000
_NAMED_MAX = 5
_MAPPED_FROM = date(2020, 1, 2)
GENERATED_DAY = date(2024, 6, 28)
GENERATED_SESSIONS = 20
GENERATED = (
    (Listing("005930", "삼성전자"), 81_500),
    (Listing("000660", "SK하이닉스"), 236_500),
    (Listing("005380", "현대차"), 295_000),
    (Listing("035420", "NAVER"), 166_900),
    (Listing("247540", "에코프로비엠", market="KOSDAQ"), 182_700),
)


class WorldError(TerminalError):
    """The data cannot be played; the message says what was found and what would be accepted."""


@dataclass(frozen=True, slots=True)
class Session:
    """One recorded session."""

    day: date
    bars: tuple[TapeBar, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """Sessions in the order of their days, and what trades in them."""

    listings: tuple[Listing, ...]
    sessions: tuple[Session, ...]
    origin: str = "recorded"

    @property
    def title(self) -> str:
        """What it is, for a person."""
        names = ", ".join(f"{one.symbol} {one.name}" for one in self.listings[:_NAMED_MAX])
        more = len(self.listings) - _NAMED_MAX
        return f"{self.origin} {names}" + (f" and {more} more" if more > 0 else "")

    def newest_full(self) -> date:
        """Return the newest session that lasts from open to close; the newest when none does."""
        for session in reversed(self.sessions):
            opens, closes = calendar_for("KRX").open_close_ns(session.day)
            starts = [bar.start_ns for bar in session.bars]
            if min(starts) < opens + _MINUTE_NS and max(starts) >= closes - _MINUTE_NS:
                return session.day
        return self.sessions[-1].day

    def references(self, at: int) -> dict[str, int]:
        """Return the base prices of a session: the closes before it, else its own first opens."""
        found: dict[str, int] = {}
        for session in reversed(self.sessions[:at]):
            for bar in sorted(session.bars, key=lambda bar: -bar.start_ns):
                found.setdefault(bar.symbol, bar.close)
            if len(found) == len(self.listings):
                return found
        for bar in sorted(self.sessions[at].bars, key=lambda bar: bar.start_ns):
            found.setdefault(bar.symbol, bar.open)
        return found


def load_world(settings: SimulatorSettings, now_ns: int) -> World:
    """Return the world that the settings name.

    Args:
        settings: Section `sim.kis`.
        now_ns: Instance time, UTC ns: whether the session that is named lies behind us.

    Raises:
        WorldError: The data has no such session, symbol or file.
    """
    wanted = _day(settings.day) if settings.day else None
    if settings.data:
        recording = read_recording(Path(settings.data), settings.symbols)
    else:
        recording = generated_recording(
            settings.seed, wanted or GENERATED_DAY, symbols=settings.symbols
        )
    day = wanted or recording.newest_full()
    if settings.days == "mapped":
        return mapped_world(recording, now_ns)
    if settings.days == "auto" and settings.speed is None and not _is_near(day, now_ns):
        return mapped_world(recording, now_ns)
    return recorded_world(recording, day)


def recorded_world(recording: Recording, day: date) -> World:
    """Return a session and those after it on their own dates; earlier ones are history.

    Raises:
        WorldError: The recording has no such session.
    """
    days = [session.day for session in recording.sessions]
    if day not in days:
        raise WorldError(
            f"no session of {day} is recorded; accepted: {days[0]} to {days[-1]}, sessions of KRX"
        )
    at = days.index(day)
    return World(
        recording.listings,
        bars=[bar for session in recording.sessions[at:] for bar in session.bars],
        history=[bar for session in recording.sessions[:at] for bar in session.bars],
        references=recording.references(at),
        title=f"{recording.title}, session {day}",
    )


def mapped_world(recording: Recording, now_ns: int) -> World:
    """Return a world that plays recorded sessions on the days of the instance, without end.

    Its history is what it would have played on the days before that of `now_ns` (UTC).
    """
    return World(
        recording.listings,
        history=_mapped_history(recording, now_ns),
        days=lambda start_ns: _mapped_days(recording, start_ns),
        title=f"{recording.title}, {len(recording.sessions)} sessions on the days of the instance",
    )


def _mapped_history(recording: Recording, now_ns: int) -> list[TapeBar]:
    today = _first_day(now_ns)
    calendar = calendar_for("KRX")
    bars: list[TapeBar] = []
    for back in range(len(recording.sessions) - 1, 0, -1):
        day = calendar.offset(today, -back)
        bars += map_session(recording.sessions[_turn(day, len(recording.sessions))], day)
    return bars


def map_session(session: Session, day: date) -> list[TapeBar]:
    """Return the bars of a session as if they had traded on another, every share of them."""
    calendar = calendar_for("KRX")
    opened, _ = calendar.open_close_ns(session.day)
    opens, closes = calendar.open_close_ns(day)
    last_ns = closes - _MINUTE_NS
    mapped: dict[tuple[str, int], TapeBar] = {}
    for bar in sorted(session.bars, key=lambda bar: (bar.symbol, bar.start_ns)):
        start_ns = min(bar.start_ns - opened + opens, last_ns)
        earlier = mapped.get((bar.symbol, start_ns))
        moved = replace(bar, start_ns=start_ns)
        mapped[bar.symbol, start_ns] = moved if earlier is None else _joined(earlier, moved)
    return sorted(mapped.values(), key=lambda bar: (bar.start_ns, bar.symbol))


def _mapped_days(recording: Recording, now_ns: int) -> Iterator[MarketDay]:
    calendar = calendar_for("KRX")
    day = _first_day(now_ns)
    while True:
        at = _turn(day, len(recording.sessions))
        references = recording.references(at)
        yield MarketDay(day, map_session(recording.sessions[at], day), references)
        if day >= calendar.last:
            return
        day = calendar.next_session(day)


def _first_day(now_ns: int) -> date:
    """Return the session of an instant, or the one that comes next."""
    calendar = calendar_for("KRX")
    today = local_date("KRX", now_ns)
    if calendar.is_session(today) and now_ns < calendar.open_close_ns(today)[1]:
        return today
    return calendar.next_session(today)


def _turn(day: date, count: int) -> int:
    first, last = sorted((_MAPPED_FROM, day))
    passed = len(calendar_for("KRX").sessions(first, last))
    return (passed if day >= _MAPPED_FROM else -passed) % count


def _joined(before: TapeBar, after: TapeBar) -> TapeBar:
    if not before.volume or not after.volume:
        return before if before.volume else after
    return replace(
        before,
        high=max(before.high, after.high),
        low=min(before.low, after.low),
        close=after.close,
        volume=before.volume + after.volume,
    )


# Recorded data


def read_recording(data: Path, symbols: Sequence[str] = ()) -> Recording:
    """Read minute bars and names of a data folder.

    Args:
        data: Holds `krx/krx_1m_*.parquet`, and `krx/krx_listing_*.parquet` for Korean names.
        symbols: Which of them; all when empty.

    Raises:
        WorldError: A file or symbol is missing, or a price is no whole won.
    """
    import polars as pl

    files = sorted((data / "krx").glob("krx_1m_*.parquet"))
    if not files:
        raise WorldError(f"{data}: no recorded minutes; accepted: krx/krx_1m_*.parquet")
    columns = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]
    frame = pl.concat([pl.read_parquet(file, columns=columns) for file in files])
    if symbols:
        frame = frame.filter(pl.col("symbol").is_in(symbols))
    found = set(frame["symbol"].unique())
    if not found or set(symbols) - found:
        missing = ", ".join(sorted(set(symbols) - found)) or "any symbol"
        raise WorldError(f"{data}: no recorded minutes of {missing}")
    frame = frame.with_columns(pl.col("timestamp").dt.epoch("ms").alias("ms")).sort("ms", "symbol")
    bars = [_bar(row) for row in frame.iter_rows(named=True)]
    return Recording(_listings(data, sorted(found)), _sessions(bars))


def _bar(row: Mapping[str, Any]) -> TapeBar:
    names = ("open", "high", "low", "close", "volume")
    numbers = {name: int(row[name]) for name in names}
    broken = [name for name in names if numbers[name] != row[name]]
    if broken:
        raise WorldError(f"{row['symbol']} at {row['ms']} ms: {broken[0]} is {row[broken[0]]}")
    return TapeBar(row["symbol"], row["ms"] * 1_000_000, **numbers)


def _sessions(bars: Sequence[TapeBar]) -> tuple[Session, ...]:
    by_day: dict[date, list[TapeBar]] = {}
    for bar in bars:
        by_day.setdefault(local_date("KRX", bar.start_ns), []).append(bar)
    days = sorted(day for day in by_day if _is_session(day))
    if not days:
        raise WorldError("the recorded minutes lie on no session of KRX")
    return tuple(Session(day, tuple(by_day[day])) for day in days)


def _listings(data: Path, symbols: Sequence[str]) -> tuple[Listing, ...]:
    import polars as pl

    names: dict[str, tuple[str, str]] = {}
    for file in sorted((data / "krx").glob("krx_listing_*.parquet")):
        listed = pl.read_parquet(file, columns=["Code", "Name", "Market"])
        wanted = listed.filter(pl.col("Code").is_in(symbols))
        names |= {code: (name, market) for code, name, market in wanted.iter_rows()}
    known = {listing.symbol: (listing.name, listing.market) for listing, _ in GENERATED}
    found = []
    for symbol in symbols:
        name, market = names.get(symbol) or known.get(symbol) or (symbol, "KOSPI")
        found.append(Listing(symbol, name, market=parse_market(market).value))
    return tuple(found)


# Generated data


def generated_recording(
    seed: int, last: date, *, symbols: Sequence[str] = (), count: int = GENERATED_SESSIONS
) -> Recording:
    """Return sessions that the seed decides, the last of them on a day.

    Raises:
        WorldError: The day is no session of KRX, or a symbol is not among those that are made.
    """
    if not _is_session(last):
        raise WorldError(f"{last} is no session of KRX; accepted: one of 2015 and later")
    made = [pair for pair in GENERATED if not symbols or pair[0].symbol in symbols]
    unknown = set(symbols) - {listing.symbol for listing, _ in made}
    if unknown:
        known = ", ".join(listing.symbol for listing, _ in GENERATED)
        raise WorldError(f"{', '.join(sorted(unknown))}: not generated; accepted: {known}")
    calendar = calendar_for("KRX")
    days = [calendar.offset(last, -back) for back in range(count - 1, -1, -1)]
    bars: dict[date, list[TapeBar]] = {day: [] for day in days}
    for listing, price in made:
        # A walk of its own for each symbol: what else trades does not change it.
        walk = random.Random(f"{seed}/{listing.symbol}")  # noqa: S311 - made-up prices
        close = price
        for day in days:
            bars[day] += _generated_session(walk, listing, day, close)
            close = bars[day][-1].close
    sessions = (Session(day, tuple(bars[day])) for day in days)
    return Recording(tuple(listing for listing, _ in made), tuple(sessions), "generated")


def _generated_session(
    walk: random.Random, listing: Listing, day: date, reference: int
) -> list[TapeBar]:
    table = default_table()
    market, asset = listing.market, listing.asset
    ladder = order_ladder(table, day, market=market, asset=asset)
    limits = daily_limits(table, day, reference, market=market, asset=asset)
    opens, closes = calendar_for("KRX").open_close_ns(day)
    # Continuous trading, ten minutes of silence, the closing auction in the last minute.
    starts = [*range(opens, closes - 10 * _MINUTE_NS, _MINUTE_NS), closes - _MINUTE_NS]
    price = ladder.floor(limits.reference)
    bars = []
    for start_ns in starts:
        path = [price]
        for _ in range(3):
            price = _stepped(walk, price, ladder, limits.lower, limits.upper)
            path.append(price)
        volume = int(walk.expovariate(1 / 4_000)) + 1
        bars.append(
            TapeBar(listing.symbol, start_ns, path[0], max(path), min(path), path[-1], volume)
        )
    return bars


def _stepped(walk: random.Random, price: int, ladder: Ladder, lower: int, upper: int) -> int:
    for _ in range(abs(round(walk.gauss(0, 1.2)))):
        price = ladder.next_up(price) if walk.random() < 0.5 else ladder.next_down(price)
    return min(max(price, lower), upper)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise WorldError(f"day is {text!r}; accepted: an ISO date such as 2018-02-26") from None


def _is_near(day: date, now_ns: int) -> bool:
    """Return whether a session lies ahead by a day at most, or is under way."""
    if not _is_session(day) or now_ns >= calendar_for("KRX").closed_at_ns(day):
        return False
    return local_date("KRX", now_ns) >= day - timedelta(days=1)


def _is_session(day: date) -> bool:
    calendar = calendar_for("KRX")
    return calendar.first <= day <= calendar.last and calendar.is_session(day)
