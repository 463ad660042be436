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
        arguments: What follows the case, the file and the number of repeats.
        is_peer: It runs in the peers' environment, which knows nothing of JTS.
    """

    name: str
    script: str
    arguments: tuple[str, ...] = ()
    is_peer: bool = False


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
KERNEL = Engine("kernel", "kernel.py", ("1",), is_peer=True)
KERNEL_TWO = Engine("kernel-2-threads", "kernel.py", ("2",), is_peer=True)
VECTORBT_RUST = Engine("vectorbt-rust", "vectorbt_engine.py", ("rust",), is_peer=True)
VECTORBT = Engine("vectorbt", "vectorbt_engine.py", ("numba",), is_peer=True)

BENCHES: dict[str, tuple[Case, ...]] = {
    "backtest": (
        Case(
            "sma",
            Market(1_800, 7_800),
            (JTS, KERNEL, KERNEL_TWO, VECTORBT_RUST, VECTORBT),
            ("sma-1800x7800", "sma-1800x7800-load", "memory"),
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
