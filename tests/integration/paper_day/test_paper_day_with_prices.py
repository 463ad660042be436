"""Orders with prices through a paper day of killed roles: called back, held and reached, exact."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from jts_trading.domain.journal_events import CancelRequested, IntentRecorded
from jts_trading.domain.orders import OrderState
from jts_trading.guards.kill_switch import KillLevel, KillSwitch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3_000)]
TEXTS = {
    "patient": (
        """strategy("Patient") {
          entry.long { when (close > open) { buy("10%", type: "limit", price: close * 0.999) } }
          exit.long { when (close < open) { close() } }
        }""",
        {},
    ),
    "breakout": (
        """strategy("Breakout") {
          entry.long { when (close < open) { buy("10%", type: "stop", stop: close * 1.0005) } }
          exit.long { when (close > open) {
            sell("all", type: "stop_limit", stop: close, price: close * 0.99, tif: "gtc")
          } }
        }""",
        {},
    ),
}
SECONDS = 240


def _happened(evidence: Any, day: Any) -> Counter[str]:
    """Count what a day with prices is about."""
    books = asyncio.run(evidence.read_books(day.postgres_dsn))
    found: Counter[str] = Counter()
    filled = {row.id for row in books.orders if row.filled}
    for event in books.of(IntentRecorded):
        intent = event.intent
        kind = "limit" if intent.price is not None else "market"
        when = "reached" if intent.trigger is not None else "given"
        found[f"{intent.side} {kind} {when}"] += 1
        if intent.order_id in filled:
            found[f"{intent.side} {kind} {when}, filled"] += 1
    for event in books.of(CancelRequested):
        found["called back"] += 1
        row = next(row for row in books.orders if row.id == event.order_id)
        found["cancelled"] += row.status is OrderState.CANCELLED
    return found


WANTED = (
    "buy limit given, filled",
    "buy market reached, filled",
    "sell limit reached, filled",
    "cancelled",
)


def test_paper_day_when_orders_have_prices_and_roles_are_killed_then_the_books_are_exact(
    open_day: Callable[..., Any], closing: Any, evidence: Any, seed: int
) -> None:
    """SIGKILL of trader and executor while limits rest, cancels are asked for, stops are held."""
    chance = random.Random(seed)
    with open_day(minutes=300, speed=75.0, texts=TEXTS) as day:
        day.wait(lambda: _happened(evidence, day), SECONDS)
        for name in chance.sample(["trader", "executor"] * 3, 6):
            closing.wait_until_ready(day, name)
            time.sleep(chance.uniform(0, 3.0))
            day.kill(name)
        day.wait(
            lambda: all(_happened(evidence, day)[each] for each in WANTED),
            SECONDS,
            lambda: _happened(evidence, day),
        )
        closing.end_tape(day, 1)
        # What rests now would rest until the session ends.
        KillSwitch(day.home / "run").latch(KillLevel.ALL, who="kim", why="the day is over")
        closing.require_exact(day)
        sys.stdout.write(f"{dict(_happened(evidence, day))}\n")
