"""The rows of the benchmarks: cases, engines, and the scripts of `benchmarks/` that run them."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks"
ENGINES = SCRIPTS / "engines"


@dataclass(frozen=True, slots=True)
class Market:
    """A generated market: the same seed gives the same file.

    Attributes:
        symbols: Instruments.
        bars: Minute bars of each.
        seed: Of the walk.
        first: From which day on sessions are taken.
    """

    symbols: int
    bars: int
    seed: int = 20240304
    first: date = date(2024, 3, 4)

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"market-{self.symbols}x{self.bars}-{self.seed}.parquet"


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine of a case.

    Attributes:
        name: As it is printed: `jts`, `kernel`, `vectorbt-rust`, ...
        script: Below `benchmarks/engines`.
        arguments: What follows the case, the file, the number of repeats and the cache.
        environment: Of `benchmarks/requirements.txt`; empty for the interpreter of JTS.
    """

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One strategy over one market, run by several engines one after another.

    Attributes:
        name: Of the case, for scripts too.
        market: Its input; None where it needs none.
        engines: JTS first.
        rows: Names of the rows that its figures make, in the order of `report`.
    """

    name: str
    market: Market | None
    engines: tuple[Engine, ...]
    rows: tuple[str, ...]


JTS = Engine("jts", "jts.py")
KERNEL = Engine("kernel", "kernel.py", ("1",))
KERNEL_TWO = Engine("kernel-2-threads", "kernel.py", ("2",))
VECTORBT_RUST = Engine("vectorbt-rust", "vectorbt_engine.py", ("rust",), "vectorbt")
VECTORBT = Engine("vectorbt", "vectorbt_engine.py", ("numba",), "vectorbt")
BACKTESTING = Engine("backtesting", "backtesting_engine.py", (), "backtesting")
BACKTRADER = Engine("backtrader", "backtrader_engine.py", (), "backtrader")
TALIB = Engine("talib", "indicator_peers.py", ("talib",), "indicators")
NAUTILUS = Engine("nautilus", "nautilus_engine.py", (), "nautilus")
_WIDE = Market(1_800, 7_800)

BENCHES: dict[str, tuple[Case, ...]] = {
    "backtest": (
        Case(
            "sma",
            _WIDE,
            (JTS, KERNEL, KERNEL_TWO, VECTORBT_RUST, VECTORBT),
            ("sma-1800x7800", "sma-1800x7800-load", "memory"),
        ),
        # Engines that take minutes for a million bars.
        Case("sma-small", Market(20, 7_800), (JTS, BACKTESTING, BACKTRADER), ("sma-20x7800",)),
        Case(
            "multi",
            Market(1, 1_000_000, first=date(2010, 1, 4)),
            (JTS, KERNEL, VECTORBT),
            ("multi-1m",),
        ),
        Case("portfolio", _WIDE, (JTS, KERNEL, VECTORBT), ("portfolio",)),
    ),
    "sweep": (
        Case(
            "sweep",
            Market(1, 250_000, first=date(2015, 1, 5)),
            (Engine("jts", "jts_sweep.py"), KERNEL, KERNEL_TWO, VECTORBT_RUST, VECTORBT),
            ("sweep-400x250k",),
        ),
        Case(
            "sweep-command",
            Market(4, 7_800),
            tuple(
                Engine(name, "sweep_command.py", (method,))
                for name, method in (("jts", "grid"), ("jts-tpe", "tpe"))
            ),
            ("sweep-command",),
        ),
    ),
    "indicators": (
        Case(
            "indicators",
            Market(1, 1_000_000, first=date(2010, 1, 4)),
            (
                Engine("jts", "jts_indicators.py"),
                Engine("jts-fused", "jts_indicators.py", ("fused",)),
                TALIB,
                *(
                    Engine(name, "indicator_peers.py", (name,), "indicators")
                    for name in ("polars-talib", "pandas-ta-classic")
                ),
            ),
            ("indicators-12",),
        ),
    ),
    "live-step": (
        Case("live-step", None, (Engine("jts", "live_step.py", ("1800",)),), ("live-step",)),
        Case("live-step", None, (Engine("jts", "live_step.py", ("500",)),), ("live-step-500",)),
        Case("surge", None, (Engine("jts", "live_surge.py", ("1800",)),), ("live-surge",)),
    ),
    "events": (
        Case(
            "events",
            None,
            (
                Engine("jts", "jts_events.py", ("64", "events")),
                Engine("jts-single", "jts_events.py", ("1", "events")),
                # Rules that are judged on every trade.
                Engine("jts-surge", "jts_events.py", ("64", "surge")),
                Engine("jts-surge-single", "jts_events.py", ("1", "surge")),
                NAUTILUS,
            ),
            ("events",),
        ),
    ),
    "compile": tuple(
        Case(
            "compile",
            Market(4, 780),
            (Engine("jts", "compiling.py", (mode,)),),
            (f"compile-{mode}",),
        )
        for mode in ("cold", "cached", "process")
    ),
}
