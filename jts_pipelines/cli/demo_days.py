"""The two days that the demo trades: when they begin and end, and at what speed."""

import gzip
import math
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from jts_pipelines.cli.demo_market_day import TradingDay
from jts_trading.domain.sessions import calendar_for
from storage.errors import InputError

CAPTURES = Path("crypto/binance_ws_raw")
_CAPTURE_FILES = "spot_btcusdt_*.jsonl.gz"
_KIS_SPEED, _BINANCE_SPEED = 240.0, 10.0
_AFTER_CLOSE = timedelta(minutes=2)
_SEOUL = ZoneInfo("Asia/Seoul")
# Where there is no capture, the simulator makes trades up; they need a day all the same.
_MADE_UP_FROM = datetime(2024, 8, 8, 23, 54, 13, tzinfo=UTC)
_MADE_UP_FOR = timedelta(minutes=11)


def trading_days(minutes: Path, folder: Path) -> tuple[TradingDay, TradingDay]:
    """Return the day at KIS, and the captured minutes of Binance behind it.

    Args:
        minutes: The file of minute bars.
        folder: Of market data, for the simulators.

    Raises:
        InputError: A file cannot be used.
    """
    first = kis_day(minutes, folder)
    return first, binance_day(folder, first.variables)


def kis_day(minutes: Path, folder: Path) -> TradingDay:
    """Return the newest full session of a file of minute bars, traded at the simulated KIS.

    Args:
        minutes: The file.
        folder: The folder that it lies in, for the simulator.

    Raises:
        InputError: No session of the file lasts from open to close.
    """
    calendar = calendar_for("KRX")
    starts = pl.scan_parquet(minutes).select(pl.col("timestamp").dt.epoch("s")).collect()
    by_day: dict[date, list[int]] = {}
    for second in sorted(starts["timestamp"].to_list()):
        by_day.setdefault(calendar.session_date(second * 10**9), []).append(second)
    for day in reversed(calendar.sessions(min(by_day), max(by_day))):
        opens_ns, closes_ns = calendar.open_close_ns(day)
        found = by_day.get(day, [])
        is_full = found and found[0] * 10**9 < opens_ns + 60 * 10**9
        if is_full and found[-1] * 10**9 >= closes_ns - 60 * 10**9:
            opens = datetime.fromtimestamp(opens_ns // 10**9, _SEOUL)
            closes = datetime.fromtimestamp(closes_ns // 10**9, _SEOUL)
            return TradingDay(
                broker="kis",
                simulators=("sim-kis",),
                feed="kis-1",
                venue="KRX",
                instruments=("KRX:005930",),
                topic="market-data.krx.ticks",
                morning=opens - timedelta(minutes=30),
                begins=opens,
                ends=closes + _AFTER_CLOSE,
                speed=_KIS_SPEED,
                variables=_simulators(folder, day),
            )
    raise InputError(f"{minutes}: no session lasts from open to close")


def binance_day(folder: Path, variables: Mapping[str, str]) -> TradingDay:
    """Return the captured minutes of Binance, traded through the paper broker.

    Args:
        folder: Of market data; without a capture in it the simulator makes trades up.
        variables: Environment of all parts.

    Raises:
        InputError: A capture cannot be read.
    """
    files = sorted((folder / CAPTURES).glob(_CAPTURE_FILES))
    if files:
        begins, ends = _line_time(files[0], last=False), _line_time(files[-1], last=True)
    else:
        begins, ends = _MADE_UP_FROM, _MADE_UP_FROM + _MADE_UP_FOR
    return TradingDay(
        broker="paper",
        simulators=("sim-kis", "sim-binance"),
        feed="binance-1",
        venue="BINANCE",
        instruments=("BINANCE:BTCUSDT",),
        topic="market-data.crypto.ticks",
        morning=begins - timedelta(minutes=5),
        begins=begins,
        ends=ends + timedelta(seconds=30),
        speed=_BINANCE_SPEED,
        variables=variables,
    )


def _simulators(folder: Path, day: date) -> dict[str, str]:
    """Return what both simulators play, all the time: a session, and a capture if there is one."""
    data = str(folder.absolute())
    variables = {
        "JTS_SIM__KIS__DATA": data,
        "JTS_SIM__KIS__DAY": day.isoformat(),
        "JTS_SIM__KIS__DAYS": "recorded",
    }
    if any((folder / CAPTURES).glob(_CAPTURE_FILES)):
        variables |= {"JTS_SIM__BINANCE__DATA": data, "JTS_SIM__BINANCE__DAYS": "recorded"}
    else:
        # A market that never ends could not be recorded to its end.
        ends_s = int((_MADE_UP_FROM + _MADE_UP_FOR).timestamp())
        variables["JTS_SIM__BINANCE__UNTIL_NS"] = str(ends_s * 10**9)
    return variables


def _line_time(file: Path, *, last: bool) -> datetime:
    """Return when the first or the last line of a capture was received, in whole seconds."""
    lines = _lines(file)
    line = next(lines, "")
    if last:
        line = next(iter(deque(lines, maxlen=1)), line)
    stamp = line.partition(" ")[0]
    if not stamp.isdecimal():
        raise InputError(f"{file}: a line begins with {stamp[:30]!r}; accepted: a time in ns")
    seconds = math.ceil(int(stamp) / 1e9) if last else int(stamp) // 10**9
    return datetime.fromtimestamp(seconds, UTC)


def _lines(file: Path) -> Iterator[str]:
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            yield from lines
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
