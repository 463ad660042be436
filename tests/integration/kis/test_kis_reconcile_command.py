"""`jts reconcile` against a simulated KIS: by itself, and through a running reconciler."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jts_trading.brokers.kis.orders import CashOrder, OrderDivision
from jts_trading.config.instance import ClockSettings
from jts_trading.domain.account_reports import OrderAnswer
from jts_trading.domain.market.costs import Side
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.ports.clock import write_clock
from jts_trading.ports.inputs import write_inputs
from jts_trading.telemetry.health import read_health
from storage.embedded.dsn import libpq_url
from storage.ledger.migrate import migrate

pytestmark = pytest.mark.integration
ACCOUNT = "kis/5000000101"


def _inputs() -> TradingInputs:
    only = StrategyInput(
        instance="sma",
        strategy_id="",
        release="",
        dsl_code="",
        broker="kis",
        account="5000000101",
        venue="KRX",
        interval="1m",
        instrument_ids=("KRX:005930",),
        allocation=Decimal(30_000_000),
        currency="KRW",
    )
    return TradingInputs(version=1, created_ns=0, source="test", instances=(only,))


class House:
    """A home of its own, its environment, and programs that run in it."""

    def __init__(self, home: Path, postgres: str, redis: str) -> None:
        self.home = home
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JTS_")},
            "JTS_HOME": str(home),
            "JTS_POSTGRES__DSN": postgres,
            "JTS_REDIS__DSN": redis,
            "JTS_BROKERS__KIS__CALLS_PER_S": "1000",
            "JTS_BROKERS__KIS__LEDGER_CALLS_PER_S": "1000",
        }

    def find(self, venue: Any) -> None:
        """Point the home at a simulator."""
        self.environment["JTS_BROKERS__KIS__REST_URL"] = venue.ready.rest_url
        self.environment["JTS_BROKERS__KIS__STREAM_URL"] = venue.ready.stream_url

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a program of the daemon."""
        with (self.home / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "jts_trading", *words],
                env=self.environment,
                cwd=self.home,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    async def ask(self, *words: str) -> tuple[int, Any]:
        """Run a command with --json; return its exit code and document."""
        with self.start(*words, "--json") as popen:
            try:
                out, _ = await asyncio.to_thread(popen.communicate, timeout=30)
            except subprocess.TimeoutExpired:
                popen.kill()
                raise
        assert out, (self.home / "log.txt").read_text()
        return popen.returncode, json.loads(out)


@pytest.fixture
def house(tmp_path: Path, postgres_dsn: str, redis_url: str) -> House:
    """A migrated home with one instance."""
    migrate(libpq_url(postgres_dsn))
    write_inputs(tmp_path, _inputs())
    # The simulators of these tests stand at this moment.
    write_clock(tmp_path / "run", ClockSettings(epoch="2024-06-03T09:30:00+09:00"))
    return House(tmp_path, postgres_dsn, redis_url)


@contextlib.asynccontextmanager
async def _running(house: House) -> Any:
    popen = house.start("run", "reconciler")
    try:
        deadline = time.monotonic() + 25
        while True:
            health = read_health(house.home / "run", "reconciler")
            if health is not None and health.is_ready:
                break
            assert popen.poll() is None, (house.home / "log.txt").read_text()
            told = health.reasons if health else "no heartbeat"
            assert time.monotonic() < deadline, f"{told}\n{(house.home / 'log.txt').read_text()}"
            await asyncio.sleep(0.05)
        yield
    finally:
        popen.send_signal(signal.SIGTERM)
        await asyncio.to_thread(popen.wait, 10)
        assert popen.stdout is not None
        popen.stdout.close()


def test_reconcile_when_asked_then_compares_alone_or_through_the_role(
    open_venue: Any, house: House
) -> None:
    """Alone it changes nothing and tells what would be found; the role finds it."""

    async def run() -> None:
        async with open_venue() as venue:
            house.find(venue)
            code, alone = await house.ask("reconcile")
            (account,) = alone["accounts"]
            assert (code, alone["by"], account["account"]) == (1, "comparison", ACCOUNT)
            assert account["difference"] == "cash +100000000"
            async with _running(house):
                code, through = await house.ask("reconcile")
                assert (code, through["by"]) == (0, "reconciler")
                assert through["accounts"][0]["is_right"] is True
                by_hand = CashOrder("005930", Side.BUY, 5, None, OrderDivision.MARKET)
                assert isinstance(await venue.orders.submit(by_hand), OrderAnswer)
                assert (await house.ask("reconcile"))[0] == 0
            code, again = await house.ask("reconcile")
            assert (code, again["by"], again["is_right"]) == (0, "comparison", True)
            _, positions = await house.ask("positions")
            (held,) = positions["positions"]
            assert (held["instance"], Decimal(held["quantity"])) == ("external", 5)
            cash = {row["instance"]: Decimal(row["cash"]) for row in positions["accounts"]}
            assert sum(cash.values()) == venue.ready.desk.ledger.cash
            assert cash["sma"] == 30_000_000
            assert (await house.ask("ledger", "dump"))[0] == 0
            assert (await house.ask("journal", "verify"))[0] == 0

    asyncio.run(run())


def test_reconcile_when_the_broker_is_away_then_says_so(house: House) -> None:
    """Nothing was compared, so nothing is right."""
    house.environment["JTS_BROKERS__KIS__REST_URL"] = "http://127.0.0.1:9"
    house.environment["JTS_BROKERS__KIS__STREAM_URL"] = "ws://127.0.0.1:9"

    async def run() -> None:
        code, document = await house.ask("reconcile", "--timeout", "1.5")
        assert code == 1
        assert document["accounts"][0]["problem"] == "kis did not answer within 1.5 s"

    asyncio.run(run())
