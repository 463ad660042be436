"""Five sessions as fast as they can be read: no role grows from day to day."""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from jts_trading.domain.messages import MESSAGES
from jts_trading.domain.sessions import local_date
from jts_trading.domain.ticks import TradeTick

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3_000)]
# Whole sessions: TEST_PAPER_WEEK_MINUTES=400.
MINUTES = int(os.environ.get("TEST_PAPER_WEEK_MINUTES", "60"))
IS_LONG = MINUTES > 200
ROLES = ("collector", "recorder", "trader")
TICKS, BARS = "market-data.krx.ticks", "market-data.krx.candles"
DAYS, SECONDS = 5, 90 + 2 * MINUTES
# In a short day the first use of everything still counts.
GROWTH_MAX, SLACK_BYTES = 1.03, (4 if IS_LONG else 16) << 20


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _newest(client: redis.Redis, topic: str) -> Iterator[Any]:
    """The newest messages of a topic, newest first."""
    for _, fields in client.xrevrange(topic, count=20):
        envelope = msgspec.msgpack.decode(fields[b"e"])
        yield MESSAGES.decode(envelope["type"], envelope["version"], envelope["payload"])


def _days(week: Any, client: redis.Redis) -> dict[str, date]:
    """How far each role has come, by the trade date of its newest work."""
    found: dict[str, date] = {}
    # Books carry no date of their own.
    trades = (
        tick
        for entry in _newest(client, TICKS)
        for tick in reversed(entry.ticks)
        if isinstance(tick, TradeTick)
    )
    for trade in trades:
        found["collector"] = local_date("KRX", trade.ts_event_ns)
        break
    for bar in _newest(client, BARS):
        found["trader"] = local_date("KRX", bar.start_ns)
        break
    rows, newest = week.hot("SELECT count(), toString(max(trade_date)) FROM ticks").row(0)
    if rows:
        found["recorder"] = date.fromisoformat(newest)
    return found


def test_memory_when_a_week_is_replayed_then_every_role_stays_flat(
    open_day: Callable[..., Any], closing: Any, evidence: Any
) -> None:
    """The largest size in the last day is that of the second within a few percent."""
    sizes: dict[str, dict[date, int]] = {name: defaultdict(int) for name in ROLES}
    settings = {
        "JTS_COLLECTOR__EVENT_AHEAD_S_MAX": "1e9",
        "JTS_COLLECTOR__EVENT_BEHIND_S_MAX": "1e9",
    }
    options = {"minutes": MINUTES, "days": DAYS, "speed": 1.0, "plays_at": 0.0}
    with (
        open_day(roles=ROLES[1:], **options, **settings) as week,
        redis.Redis.from_url(week.redis_url) as client,
    ):
        for name in ROLES[1:]:
            closing.wait_until_ready(week, name)
        # The tape begins with its reader.
        week.start("collector")

        seen: dict[str, Any] = {}
        # The first trades are over before the collector has asked for them.
        shares = sum(bar.volume for session in week.sessions[1:] for bar in session.bars)

        def has_ended() -> bool:
            days = _days(week, client)
            seen["days"] = days
            for name, day in days.items():
                size = _resident_bytes(week.processes[name].pid)
                sizes[name][day] = max(sizes[name][day], size)
            if set(days.values()) != {week.sessions[-1].day} or len(days) < len(ROLES):
                return False
            frames = evidence.kept_frames(week.home)
            query = (
                "SELECT count(), toInt64(sumIf(quantity, trade_date > %(first)s)) FROM ticks FINAL"
            )
            row = week.hot(query, first=week.sessions[0].day.isoformat()).row(0)
            found = (*row, evidence.newest_tick(week.home))
            wanted = (len(evidence.trades_of(frames)), shares, evidence.count_ticks(frames))
            seen.update(found=found, wanted=wanted)
            return bool(found == wanted)

        week.wait(has_ended, SECONDS, lambda: (seen, sizes))
    days = [session.day for session in week.sessions]
    for name in ROLES:
        mib = [sizes[name][day] >> 20 for day in days]
        sys.stdout.write(f"{name}: largest resident MiB by day {mib}\n")
        # A quick recorder takes days in one batch: then the next that was seen counts.
        second = next(sizes[name][day] for day in days[1:] if sizes[name][day])
        assert sizes[name][days[-1]] <= second * GROWTH_MAX + SLACK_BYTES, (name, mib)
