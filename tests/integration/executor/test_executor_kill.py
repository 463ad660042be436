"""Executors as processes that are killed, doubled and paused: no order is lost or sent twice."""

import asyncio
import os
import random
import shutil
import signal
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jts_trading.domain.orders import OrderState
from jts_trading.telemetry.health import read_health

pytestmark = pytest.mark.integration
# The long run of the issue: set JTS_TEST_KILLS=50.
# Many orders must fit into one account.
SMALL = {"price": Decimal(49_500)}
KILLS = int(os.environ.get("JTS_TEST_KILLS", "5"))


async def _ready(house: Any, executor: Any, home: Path | None = None) -> None:
    """Wait until an executor says that it works; a file of one that was killed says nothing."""
    run = (home or house.home) / "run"

    def is_ready() -> bool:
        health = read_health(run, "executor")
        return health is not None and health.pid == executor.pid and health.is_ready

    await house.eventually(is_ready, 20)


def test_f05_executor_when_killed_at_random_moments_then_each_order_is_at_the_venue_once(
    open_house: Any, rng: random.Random
) -> None:
    """SIGKILL in the middle of many orders: the venue has each once, the journal knows all."""

    async def play() -> None:
        async with open_house() as house, house.running("reconciler"):
            orders: list[str] = []
            looks: list[tuple[int, int]] = []
            for _ in range(KILLS):
                executor = await house.start("executor")
                await _ready(house, executor)
                for _ in range(8):
                    # Quantity and price together stand for one order.
                    looks.append((1 + len(orders) // 150, 50_000 + 100 * (len(orders) % 150)))
                    changes = {
                        "order_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"kill {len(orders)}")),
                        "price": Decimal(looks[-1][1]),
                    }
                    orders.append(await house.want(looks[-1][0], **changes))
                    await asyncio.sleep(rng.uniform(0, 0.02))
                await asyncio.sleep(rng.uniform(0, 0.15))
                os.kill(executor.pid, signal.SIGKILL)
                await executor.wait()
            await house.start("executor")
            # A machine that is too slow denies an entry; it is then nowhere.
            ends = (OrderState.OPEN, OrderState.DENIED)
            rows = [await house.until(each, *ends, seconds=60) for each in orders]
            sent = [look for look, row in zip(looks, rows, strict=True) if row.venue_order_id]
            assert house.prices_at_venue() == dict.fromkeys(sent, 1)
            assert len({row.venue_order_id for row in rows if row.venue_order_id}) == len(sent)
            assert len(sent) > 0.8 * len(orders), Counter(row.reason for row in rows)
            assert (await house.journal.verify()).is_good
            rebuilt = await house.journal.rebuild()
            assert rebuilt.is_identical, rebuilt.difference

    asyncio.run(play())


def test_f07_executors_when_two_homes_share_an_account_then_one_sends(
    open_house: Any, tmp_path: Path
) -> None:
    """The lease has one holder; the other says that it stands by."""

    async def play() -> None:
        async with open_house() as house, house.running("reconciler"):
            other = tmp_path / "other"
            shutil.copytree(house.home, other, ignore=shutil.ignore_patterns("*.lock", "roles"))
            await _ready(house, await house.start("executor"))
            await house.start("executor", other)
            orders = [await house.want(number, **SMALL) for number in range(1, 11)]
            for order_id in orders:
                await house.until(order_id, OrderState.OPEN)
            assert house.at_venue() == dict.fromkeys(range(1, 11), 1)
            await house.eventually(lambda: read_health(other / "run", "executor") is not None, 20)
            health = read_health(other / "run", "executor")
            assert "standby: the lease is held by another executor" in health.reasons

    asyncio.run(play())


def test_f06_executor_when_paused_then_another_takes_over_and_it_sends_nothing_afterwards(
    open_house: Any, tmp_path: Path
) -> None:
    """SIGSTOP longer than the lease: the successor sends, the sleeper wakes up fenced."""

    async def play() -> None:
        async with open_house() as house, house.running("reconciler"):
            other = tmp_path / "other"
            shutil.copytree(house.home, other, ignore=shutil.ignore_patterns("*.lock", "roles"))
            sleeper = await house.start("executor")
            await _ready(house, sleeper)
            await house.until(await house.want(1, **SMALL), OrderState.OPEN)
            os.kill(sleeper.pid, signal.SIGSTOP)
            try:
                await house.start("executor", other)
                order_id = await house.want(2, **SMALL)
                await house.until(order_id, OrderState.OPEN, seconds=25)
            finally:
                os.kill(sleeper.pid, signal.SIGCONT)
            orders = [await house.want(number, **SMALL) for number in range(3, 8)]
            for order_id in orders:
                await house.until(order_id, OrderState.OPEN)
            assert house.at_venue() == dict.fromkeys(range(1, 8), 1)
            leases = {attempt.token for attempt in await house.attempts()}
            assert len(leases) == 2

    asyncio.run(play())
