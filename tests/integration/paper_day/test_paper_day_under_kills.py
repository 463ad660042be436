"""A whole paper day while roles are killed: nothing lost, nothing twice, state equal."""

import asyncio
import os
import random
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from jts_trading.domain.journal_events import AttemptStarted, OrderAcknowledged, OrderLost
from storage.embedded.dsn import libpq_url

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3_000)]
# The long run of the issue: TEST_PAPER_DAY_KILLS=60.
KILLS = int(os.environ.get("TEST_PAPER_DAY_KILLS", "5"))
IS_LONG = KILLS > 20
# A day is as long as the machine needs: it ends when everything has been killed and traded.
MINUTES, SPEED = 370, 25.0 if IS_LONG else 75.0
ORDERS_MIN = 30 if IS_LONG else 10
FAULTS = [
    {"kind": "disconnect", "at": 100},
    {"kind": "timeout_after", "at": 4},
    {"kind": "timeout_before", "at": 7},
    {"kind": "html_after", "at": 12},
    {"kind": "timeout_after", "at": 15},
    {"kind": "loss", "at": 300, "count": 3},
    {"kind": "timeout_before", "at": 18, "count": 2},
    {"kind": "rate_limit", "at": 150, "count": 3},
    {"kind": "token_expired", "at": 200},
    {"kind": "disconnect", "at": 700},
    {"kind": "silence", "at": 800, "seconds": 5.0},
    {"kind": "html", "at": 900},
    {"kind": "timeout_after", "at": 25, "count": 2},
]
DECK = ("trader", "executor") * 3 + ("collector", "recorder", "reconciler")


def _victims(chance: random.Random) -> list[str]:
    """Who is killed, in order: trader and executor first of all and most often."""
    found = ["executor", "trader"]
    while len(found) < KILLS:
        found += chance.sample(DECK, len(DECK))
    return found[:KILLS]


def _wait_for_order(day: Any, seconds: float) -> None:
    """Wait until an order is on its way, for a kill in the middle of it."""
    deadline = time.monotonic() + seconds
    query = "SELECT count(*) FROM orders WHERE status IN ('intent', 'sending')"
    with psycopg.connect(libpq_url(day.postgres_dsn), autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = connection.execute(query).fetchone()
            if row is not None and row[0]:
                return
            time.sleep(0.002)


def _disturb(day: Any, chance: random.Random, closing: Any) -> None:
    """Kill roles: as they start, at any moment of their work, and while an order is sent."""
    for at, name in enumerate(_victims(chance)):
        if at == KILLS // 2:
            day.wipe_bus()
        way = chance.random()
        if way < 0.2:
            time.sleep(chance.uniform(0, 2.0))
        else:
            closing.wait_until_ready(day, name)
            if way < 0.6:
                _wait_for_order(day, 3.0)
            time.sleep(chance.uniform(0, 0.05 if way < 0.6 else 1.0))
        day.kill(name)


def test_paper_day_when_roles_are_killed_then_nothing_is_lost_or_sent_twice(
    open_day: Callable[..., Any], closing: Any, seed: int
) -> None:
    """SIGKILL in any moment, a cut socket, a wiped bus, a lost answer: the books are exact."""
    chance = random.Random(seed)
    with open_day(minutes=MINUTES, speed=SPEED, faults=FAULTS) as day:
        _disturb(day, chance, closing)
        closing.end_tape(day, ORDERS_MIN)
        closing.require_exact(day)
        assert len(day.kills) == KILLS


def test_paper_day_when_an_answer_is_lost_after_acceptance_then_it_is_one_order(
    open_day: Callable[..., Any], closing: Any, evidence: Any
) -> None:
    """The venue takes the first order and says nothing: UNKNOWN until it is found, never again."""
    faults = [{"kind": "timeout_after", "at": 1}]
    with open_day(minutes=MINUTES, speed=75.0, faults=faults) as day:
        closing.end_tape(day, 3)
        closing.require_exact(day)
        books = asyncio.run(evidence.read_books(day.postgres_dsn))
        (lost,) = [event.order_id for event in books.of(OrderLost)]
        attempts = [event for event in books.of(AttemptStarted) if event.order_id == lost]
        found = [event for event in books.of(OrderAcknowledged) if event.order_id == lost]
        assert (len(attempts), len({event.venue_order_id for event in found})) == (1, 1)
        number = found[0].venue_order_id.rpartition("-")[2]
        assert [row["number"] for row in day.books["orders"]].count(number) == 1
