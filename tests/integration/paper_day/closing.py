"""How a paper day comes to its end, and what must hold then."""

import asyncio
import sys
from collections import Counter
from typing import Any

import httpx
import paper_day_evidence as evidence  # beside this file; `conftest.py` loads both

from jts_trading.domain.journal_events import OrderAdopted, SignalRecorded
from jts_trading.domain.orders import TERMINAL, OrderState
from jts_trading.telemetry.health import CLOSED, read_health

READY_S, TRADE_S, DRAIN_S = 60, 400, 60


def wait_until_ready(day: Any, name: str) -> None:
    """Wait until the newest process of a role says that it does its work with what is traded."""
    seen: list[str] = []

    def is_ready() -> bool:
        health = read_health(day.home / "run", name)
        if health is None or health.pid != day.processes[name].pid:
            return False
        seen[:] = [reason for reason in health.reasons if CLOSED not in reason]
        return not seen

    day.wait(is_ready, READY_S, lambda: f"{name}: {seen} {day.log(name)}")


def ledger(day: Any) -> Any:
    """The simulator's own books."""
    return httpx.get(f"{day.rest_url}/_simulator/ledger", trust_env=False, timeout=10).json()


def end_tape(day: Any, orders: int) -> None:
    """Let the day go on until so much was traded, then close the only door for ticks."""

    def is_enough() -> bool:
        rows = ledger(day)["rows"]
        is_over = day.clock.now_ns() >= day.ends_ns
        return is_over or len({row["order_no"] for row in rows}) >= orders

    for name in ("collector", "trader", "executor", "reconciler", "recorder"):
        wait_until_ready(day, name)
    day.wait(is_enough, TRADE_S, lambda: f"{len(ledger(day)['rows'])} fills")
    collector = day.processes.pop("collector")
    collector.terminate()
    assert collector.wait(20) == 0


class Ending:
    """Looks whether a day has come to rest; remembers what is still under way."""

    def __init__(self, day: Any) -> None:
        self._day = day
        self.open: list[str] = []

    def is_at_rest(self) -> bool:
        """Whether everything is recorded and no order works."""
        day = self._day
        books = asyncio.run(evidence.read_books(day.postgres_dsn))
        found = [f"{row.id} {row.status}" for row in books.orders if row.status not in TERMINAL]
        filled = sum(fill.quantity for fill in books.fills)
        if filled != sum(row["quantity"] for row in ledger(day)["rows"]):
            found.append("fills")
        in_frames = len(evidence.trades_of(evidence.kept_frames(day.home)))
        recorded = day.hot(
            "SELECT (SELECT count() FROM ticks FINAL) AS ticks,"
            " (SELECT count() FROM signals FINAL) AS signals,"
            " (SELECT count() FROM orders FINAL) AS orders,"
            " (SELECT count() FROM fills FINAL) AS fills"
        ).row(0)
        wanted = (in_frames, len(books.of(SignalRecorded)), len(books.orders), len(books.fills))
        if recorded != wanted:
            found.append(f"recorded {recorded} of {wanted}")
        self.open = found
        return not found


def require_exact(day: Any) -> None:
    """Wait until a day has come to rest, then compare everything with everything."""
    ending = Ending(day)
    day.wait(ending.is_at_rest, DRAIN_S, lambda: ending.open)
    require_orders_once(day)
    require_equal_ledgers(day)
    require_ticks_of_frames(day)
    require_recomputed(day)


def require_orders_once(day: Any) -> None:
    """Each order number of the venue is that of one order of ours, and none is in doubt."""
    books = asyncio.run(evidence.read_books(day.postgres_dsn))
    sent = Counter(row["number"] for row in day.books["orders"] if row["kind"] == "0")
    assert set(sent.values()) <= {1}
    assert evidence.numbers_of(books.orders) == sent
    assert not books.of(OrderAdopted), "an order of ours was taken for somebody else's"
    states = Counter(row.status.value for row in books.orders)
    assert OrderState.UNKNOWN.value not in states
    found = f"acknowledged by {dict(books.finders)}"
    sys.stdout.write(f"kills {Counter(day.kills)}, orders {dict(states)}, {found}\n")


def require_equal_ledgers(day: Any) -> None:
    """Every fill of the venue is in the journal once; cash and positions are the same."""
    books, theirs = asyncio.run(evidence.read_books(day.postgres_dsn)), ledger(day)
    assert list(evidence.differences(books, theirs)) == []
    cash, held = evidence.money(books)
    assert theirs["is_balanced"]
    assert cash == theirs["cash"]
    assert held == {name: each["quantity"] for name, each in theirs["positions"].items()}
    assert books.difference == ""
    dump = day.run("ledger", "dump", "--no-rows")
    assert (float(dump["difference"]), dump["problems"]) == (0, [])
    verdict = day.run("journal", "verify")
    sys.stdout.write(f"{len(theirs['rows'])} fills, {len(books.events)} events: {verdict}\n")


def require_ticks_of_frames(day: Any) -> None:
    """What is recorded is what lay in the kept frames, each trade under its number, once."""
    frames = evidence.kept_frames(day.home)
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    recorded = day.hot(evidence.TICKS).rows()
    assert recorded == evidence.trades_of(frames)
    sys.stdout.write(f"{len(frames)} frames, {len(recorded)} ticks\n")


def require_recomputed(day: Any) -> None:
    """Signals and state of the trader come out again of the recorded ticks."""
    books = asyncio.run(evidence.read_books(day.postgres_dsn))
    again = evidence.Recomputation(
        day.instances, books, speed=day.speed, allowance_s=day.allowance_s,
        kernels=day.kernels, day=day.sessions[0].day,
    )  # fmt: skip
    until_ns = day.clock.now_ns()
    signals, digest = again.run(day.hot("SELECT * FROM ticks FINAL"), until_ns)
    live = sorted(map(evidence.key_of, books.of(SignalRecorded)))
    assert live == sorted(map(evidence.key_of, signals))
    day.wait(lambda: again.stored(day.home, until_ns) == digest, 20)
    assert again.accounts(day.home, books) == evidence.accounts(books)
    sys.stdout.write(f"{len(live)} signals recomputed\n")
