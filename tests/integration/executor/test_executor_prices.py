"""Limits and times in force at a simulated KIS on TCP: they rest, fill in parts, and end."""

import asyncio
import os
import signal
from decimal import Decimal
from typing import Any

import pytest

from jts_trading.domain.market.costs import Side
from jts_trading.domain.orders import OrderState
from jts_trading.simulation.krx_market import Print

pytestmark = pytest.mark.integration
# In the closing auction: a loaded machine has time to start an executor before the session ends.
LATE = "2024-06-03T15:29:20+09:00"


def test_limit_when_a_part_of_it_fills_then_its_rest_ends_with_the_session(
    open_house: Any,
) -> None:
    """The executor dies while it rests; what the venue did meanwhile is booked all the same."""

    async def play() -> None:
        async with (
            open_house(epoch=LATE, JTS_RECONCILER__CLOSE_GRACE_S="1.0") as house,
            house.running("reconciler"),
        ):
            executor = await house.start("executor")
            order_id = await house.want(10, price=Decimal(69_000))
            await house.until(order_id, OrderState.OPEN, seconds=35)
            os.kill(executor.pid, signal.SIGKILL)
            await executor.wait()
            trade = Print(house.clock.now_ns(), "005930", 68_900, 4, Side.SELL)
            house.ready.desk.play(trade)
            row = await house.until(order_id, OrderState.PARTIAL)
            assert (row.filled, row.price, row.time_in_force) == (4, 69_000, "day")
            await house.start("executor")
            row = await house.until(order_id, OrderState.EXPIRED, seconds=60)
            assert row.filled == 4
            assert "session" in row.reason
            assert house.at_venue() == {10: 1}
            assert (await house.journal.verify()).is_good

    asyncio.run(play())


def test_order_for_an_instant_when_the_paper_host_has_none_then_it_is_rejected_with_its_words(
    open_house: Any,
) -> None:
    """Nothing lives there, and nothing is sent again."""

    async def play() -> None:
        async with open_house() as house, house.running("executor", "reconciler"):
            order_id = await house.want(5, price=Decimal(71_000), time_in_force="ioc")
            row = await house.until(order_id, OrderState.REJECTED)
            assert "주문구분" in row.reason
            assert house.at_venue() == {}

    asyncio.run(play())
