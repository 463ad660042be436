"""A paper day in processes: a simulated KIS on TCP, real stores, and roles that may be killed.

Everything is started as `jts up` starts it (`jts sim kis --keep`, `jts run ROLE`); what supervises
here starts a role again at once, so that kills can follow each other closely.
"""

import contextlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import clickhouse_connect
import polars as pl
import pytest
import redis

from jts_trading.brokers.kis.simulator.worlds import GENERATED_DAY, Session, generated_recording
from jts_trading.config.instance import ClockSettings
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput, TradingInputs
from jts_trading.ports.clock import Clock, write_clock
from jts_trading.ports.inputs import write_inputs
from jts_trading.services.trader.preparing import Compiler
from jts_trading.services.trader.settings import TraderSettings
from jts_trading.strategy.releases import release
from storage.hot.store import HotStore

ROLES = ("collector", "recorder", "trader", "executor", "reconciler")
SAMSUNG = "KRX:005930"
# Real seconds between the start of the processes and the open of the market.
MARGIN_S = 10.0
LATENCY_ALLOWANCE_S = 30.0
TEXT = """strategy("Quick") {
  params { fast = 2 slow = 5 }
  indicators { quick = SMA(period: fast) slow_mean = SMA(period: slow) }
  entry.long { when (quick crosses above slow_mean) { buy(quantity: "10%") } }
  exit.long { when (quick crosses below slow_mean) { sell(quantity: "all") } }
}
"""
PERIODS = {"sma-2-5": ("2", "5"), "sma-3-7": ("3", "7")}
# What is traded, by instance: text and parameters.
Texts = Mapping[str, tuple[str, dict[str, str]]]
QUICK: Texts = {
    name: (TEXT, {"fast": fast, "slow": slow}) for name, (fast, slow) in PERIODS.items()
}
_SETTINGS = {
    # Many roles start again: the quotas of one person are not what this is about.
    "JTS_SIM__KIS__CALLS_PER_S": "1000",
    "JTS_SIM__KIS__LEDGER_CALLS_PER_S": "1000",
    "JTS_SIM__KIS__TOKEN_EVERY_S": "0.0",
    "JTS_BROKERS__KIS__CALLS_PER_S": "1000",
    "JTS_BROKERS__KIS__LEDGER_CALLS_PER_S": "1000",
    "JTS_BROKERS__KIS__RECONNECT_AFTER_S": "0.1",
    "JTS_BROKERS__KIS__RECONNECT_AFTER_S_MAX": "0.5",
    "JTS_COLLECTOR__LATENCY_ALLOWANCE_S": str(LATENCY_ALLOWANCE_S),
    "JTS_RECONCILER__ORDERS_EVERY_S": "1.0",
    "JTS_RECONCILER__BALANCE_EVERY_S": "3.0",
    "JTS_RECONCILER__SENDING_GRACE_S": "3.0",
    "JTS_RECONCILER__ABSENT_AFTER_S": "3.0",
    "JTS_RECONCILER__ABSENT_APART_S": "0.5",
    "JTS_EXECUTOR__SUBMIT_S_MAX": "2.0",
    "JTS_EXECUTOR__LOOK_EVERY_S": "0.5",
    # Whether a loaded machine is quick enough is not what these tests ask.
    "JTS_EXECUTOR__REVIEW_MS_MAX": "5000",
    "JTS_EXECUTOR__WRITE_WITHIN_MS": "5000",
}


@dataclass
class PaperDay:
    """One instance and its processes.

    Attributes:
        clock: Of the instance.
        instances: What is traded.
        sessions: The tape, cut to what is played.
        kills: Who was killed by the test, in order.
    """

    home: Path
    environ: dict[str, str]
    clock: Clock
    speed: float
    instances: tuple[StrategyInput, ...]
    sessions: Sequence[Session]
    postgres_dsn: str
    redis_url: str
    hot_dsn: str
    kernels: Path
    allowance_s: float = LATENCY_ALLOWANCE_S
    rest_url: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: list[str] = field(default_factory=list)
    restarts: dict[str, int] = field(default_factory=dict)

    @property
    def ends_ns(self) -> int:
        """When the last bar of the tape is over for every reader."""
        return max(bar.start_ns for bar in self.sessions[-1].bars) + 65 * 10**9

    @property
    def books(self) -> Any:
        """What the simulated broker keeps of orders and fills."""
        return json.loads((self.home / "trading/sim-kis/books.json").read_bytes())

    def start(self, name: str) -> None:
        """Start a role."""
        self.processes[name] = self._popen(name, "run", name)

    def tend(self) -> None:
        """Start again what was killed; nothing ends by itself."""
        for name, process in self.processes.items():
            code = process.poll()
            if code is None:
                continue
            assert code == -signal.SIGKILL, f"{name} ended with {code}: {self.log(name)}"
            self.start(name)
            self.restarts[name] = self.restarts.get(name, 0) + 1

    def kill(self, name: str) -> None:
        """Kill a role; it is started again at once."""
        process = self.processes[name]
        process.kill()
        process.wait(20)
        self.kills.append(name)
        self.tend()

    def wait(self, is_so: Callable[[], Any], seconds: float, why: Callable[[], Any] = str) -> None:
        """Return once something is so; what is killed meanwhile comes back."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() >= deadline:
                pytest.fail(f"not within {seconds:g} s: {why()}")
            self.tend()
            time.sleep(0.05)

    def log(self, name: str, size: int = 3_000) -> str:
        """The end of the log of a process."""
        return (self.home / f"{name}.log").read_text(errors="replace")[-size:]

    def run(self, *words: str) -> Any:
        """What a command answers as JSON; it has to end with 0."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "jts_trading", *words, "--json"],
            env=self.environ, cwd=self.home, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout[-2_000:], done.stderr[-2_000:])
        return json.loads(done.stdout)

    def hot(self, sql: str, **parameters: Any) -> pl.DataFrame:
        """Rows of the hot store."""
        store = HotStore(self.hot_dsn)
        try:
            found = pl.from_arrow(store.query_arrow(sql, parameters))
        finally:
            store.close()
        assert isinstance(found, pl.DataFrame)
        return found

    def wipe_bus(self) -> None:
        """Take everything away that Redis holds."""
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def stop(self) -> None:
        """End every process."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(20)

    def _open_venue(self, faults: Sequence[dict[str, Any]], speed: float | None) -> None:
        file = self.home / "faults.json"
        file.write_text(json.dumps({"faults": list(faults)}))
        words = ["--data", str(self.home / "data"), "--day", str(self.sessions[0].day)]
        if speed is not None:
            words += ["--speed", str(speed)]
        venue = self._popen(
            "sim", "sim", "kis", "--keep", "--json", "--port", "0", "--faults", str(file), *words
        )
        self.processes["sim"] = venue
        output = self.home / "sim.log"
        self.wait(lambda: b"\n" in output.read_bytes(), 60, lambda: self.log("sim"))
        said = json.loads(output.read_bytes().splitlines()[0])
        self.rest_url = said["rest_url"]
        self.environ["JTS_BROKERS__KIS__REST_URL"] = said["rest_url"]
        self.environ["JTS_BROKERS__KIS__STREAM_URL"] = said["stream_url"]

    def _popen(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "jts_trading", *words],
                env=self.environ, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip


def _tape(folder: Path, days: int, minutes: int) -> list[Session]:
    """Write the first minutes of some generated sessions as a data folder, and return them."""
    made = generated_recording(1, GENERATED_DAY, symbols=["005930"])
    sessions = [Session(session.day, session.bars[:minutes]) for session in made.sessions[-days:]]
    numbers = ("open", "high", "low", "close", "volume")
    rows = [
        {
            "timestamp": datetime.fromtimestamp(bar.start_ns // 10**9, UTC),
            "symbol": bar.symbol,
            **{name: float(getattr(bar, name)) for name in numbers},
        }
        for session in sessions
        for bar in session.bars
    ]
    (folder / "krx").mkdir(parents=True)
    frame = pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))
    frame.write_parquet(folder / "krx" / "krx_1m_generated.parquet")
    return sessions


def _instances(texts: Texts) -> tuple[StrategyInput, ...]:
    found = []
    for name, (text, params) in texts.items():
        wanted = StrategyInput(
            instance=name,
            strategy_id="",
            release="",
            dsl_code="",
            params=params,
            broker="kis",
            account="5000000101",
            venue="KRX",
            interval="1m",
            instrument_ids=(SAMSUNG,),
            allocation=Decimal(40_000_000),
            currency="KRW",
        )
        found.append(release(text, wanted, file=f"{name}.jts"))
    return tuple(found)


def _inputs(instances: tuple[StrategyInput, ...]) -> TradingInputs:
    limits = RiskLimits(
        position_share_max=Decimal(1),
        price_collar=Decimal("0.3"),
        daily_loss_max=Decimal("0.9"),
        drawdown_max=Decimal("0.9"),
        orders_per_second=1_000,
        orders_per_minute=10_000,
        rejects_per_minute=1_000,
        unknown_orders_max=1_000,
        latency_allowance_s=LATENCY_ALLOWANCE_S,
    )
    return TradingInputs(version=1, created_ns=0, source="test", instances=instances, risk=limits)


def _morning(day: date, seconds: float) -> str:
    opens = datetime.fromisoformat(f"{day}T09:00:00+09:00")
    return (opens - timedelta(seconds=seconds)).isoformat()


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled strategies, shared by the days: compiling is not what a day is about."""
    folder = tmp_path_factory.mktemp("kernels")
    _compile(folder, _instances(QUICK))
    return folder


def _compile(folder: Path, instances: tuple[StrategyInput, ...]) -> None:
    from jts_trading.kernels.loader import load

    compiler = Compiler(load, folder, TraderSettings().sizes())
    assert not compiler.prepare(instances, 1_719_500_000 * 10**9).refused


@pytest.fixture
def hot_dsn(clickhouse_url: str) -> Iterator[str]:
    """A database of its own in the hot store, with its schema."""
    database = f"t_{uuid.uuid4().hex[:8]}"
    with clickhouse_connect.get_client(dsn=clickhouse_url) as admin:
        admin.command(f"CREATE DATABASE {database}")
        store = HotStore(f"{clickhouse_url}/{database}")
        store.ensure_schema()
        store.close()
        yield f"{clickhouse_url}/{database}"
        admin.command(f"DROP DATABASE {database}")


@pytest.fixture
def open_day(
    short_home: Path, kernels: Path, hot_dsn: str, postgres_dsn: str, redis_url: str
) -> Callable[..., contextlib.AbstractContextManager[PaperDay]]:
    """Opens a day: `minutes` of a session at a clock speed, with faults of the venue.

    With `plays_at` the tape of the simulator has a speed of its own, 0 for as fast as it is read.
    """

    @contextlib.contextmanager
    def build(
        *,
        minutes: int,
        speed: float,
        days: int = 1,
        faults: Sequence[dict[str, Any]] = (),
        roles: Sequence[str] = ROLES,
        plays_at: float | None = None,
        texts: Texts = QUICK,
        **environ: str,
    ) -> Iterator[PaperDay]:
        home = short_home / "home"
        (home / "cache").mkdir(parents=True)
        (home / "cache" / "kernels").symlink_to(kernels)
        sessions = _tape(home / "data", days, minutes)
        instances = _instances(texts)
        _compile(kernels, instances)
        write_inputs(home, _inputs(instances))
        kept = {key: text for key, text in os.environ.items() if not key.startswith("JTS_")}
        variables = {
            **kept,
            "JTS_HOME": str(home),
            "JTS_PORT_BASE": "1044",
            "JTS_HOT__DSN": hot_dsn,
            "JTS_POSTGRES__DSN": postgres_dsn,
            "JTS_REDIS__DSN": redis_url,
            **_SETTINGS,
            **environ,
        }
        settings = ClockSettings(epoch=_morning(sessions[0].day, MARGIN_S * speed), speed=speed)
        day = PaperDay(
            home=home,
            environ=variables,
            # Written again when the roles start: the schema comes first.
            clock=write_clock(home / "run", settings),
            speed=speed,
            instances=instances,
            sessions=sessions,
            postgres_dsn=postgres_dsn,
            redis_url=redis_url,
            hot_dsn=hot_dsn,
            kernels=kernels,
        )
        day.run("migrate")
        day.clock = write_clock(home / "run", settings)
        try:
            day._open_venue(faults, plays_at)
            for name in roles:
                day.start(name)
            yield day
        except BaseException:
            if os.environ.get("TEST_PAPER_DAY_KEEP"):
                shutil.copytree(
                    home, os.environ["TEST_PAPER_DAY_KEEP"], dirs_exist_ok=True, symlinks=True
                )
            for name in day.processes:
                sys.stdout.write(f"--- {name}\n{day.log(name)}\n")
            raise
        finally:
            day.stop()

    return build


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Seed of random numbers; a failure prints it, and TEST_PAPER_DAY_SEED sets it."""
    found = int(os.environ.get("TEST_PAPER_DAY_SEED") or random.SystemRandom().randrange(2**32))
    request.node.add_report_section("setup", "TEST_PAPER_DAY_SEED", str(found))
    return found


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(
        f"paper_day_{name}", Path(__file__).with_name(f"{name}.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def evidence() -> Any:
    """What is counted from outside after a day: `evidence.py` beside this file."""
    return _load("evidence")


@pytest.fixture(scope="session")
def closing(evidence: Any) -> Any:
    """How a day ends and what must hold then: `closing.py` beside this file."""
    return _load("closing")
