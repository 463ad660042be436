"""A backtest and its tear sheet as assets of the lake.

Both come from one run of the engine: the sheet shows exactly the result beside it. Files go to
`<home>/reports/backtest-<run>/`, where the name is a digest of everything that decides the result.
"""

import base64
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import msgspec
from pydantic import Field

from jts_pipelines.defs.failures import plain_failures
from jts_pipelines.defs.resources import HouseResource
from jts_pipelines.defs.results import Materialized
from storage.errors import InputError

if TYPE_CHECKING:
    from jts_pipelines.backtest.loading import BacktestRequest
    from jts_pipelines.backtest.result import BacktestResult
    from jts_pipelines.defs.house import House
    from jts_pipelines.research.study import Study

OWNERS = ["team:research"]
RESULT = dg.AssetKey(["research", "backtest_result"])
TEARSHEET = dg.AssetKey(["research", "tearsheet"])


_EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "strategies" / "sma_crossover.jts"


class BacktestConfig(dg.Config):
    """What to run; as it stands, the first example over all daily bars of KRX."""

    strategy: str = Field(default=str(_EXAMPLE), description="Path of a strategy file.")
    text: str = Field(default="", description="Text of a strategy, instead of the file.")
    venue: str = Field(default="KRX", description="Where it trades.")
    interval: str = Field(default="1d", description="Interval of the stored bars.")
    from_day: str = Field(default="", description="First session; the first stored one if empty.")
    to_day: str = Field(default="", description="Last session, inclusive.")
    symbols: list[str] = Field(default_factory=list, description="All that have bars if empty.")
    params: dict[str, str] = Field(default_factory=dict, description="Values of parameters.")
    cash: int = Field(
        default=0, description="Starting cash; 100 million won, or 100,000 USDT, if 0."
    )
    splits: list[str] = Field(
        default_factory=list,
        description="SYMBOL@DAY=OLD:NEW: the first session with new shares, and their ratio.",
    )
    dividends: list[str] = Field(
        default_factory=list, description="SYMBOL@DAY=AMOUNT: the ex-date, and won a share."
    )
    rights: list[str] = Field(
        default_factory=list,
        description="SYMBOL@DAY=RATIO:PRICE: the ex-date, new shares for an old one, won for one.",
    )
    delistings: list[str] = Field(
        default_factory=list,
        description="SYMBOL@DAY or SYMBOL@DAY=PRICE: the first day without trading, what is paid.",
    )
    assume: list[str] = Field(
        default_factory=list,
        description="NAME=VALUE, as --assume: fill=close, volume_percent=5, short_selling=yes ...",
    )
    benchmarks: list[str] = Field(
        default_factory=lambda: ["hold", "KOSPI", "KOSDAQ", "BTC"],
        description="hold, KOSPI, KOSDAQ, BTC, VENUE:SYMBOL or NAME=FILE.",
    )
    instruments: str = Field(
        default="",
        description="Path of a listing with symbol and market; the instance's own one, "
        "<home>/reference/instruments.parquet, if empty.",
    )


@dg.multi_asset(
    name="backtest",
    specs=[
        dg.AssetSpec(
            RESULT,
            group_name="research",
            owners=OWNERS,
            kinds={"polars", "numba"},
            tags={"subject": "backtest"},
            deps=[["krx_1d", "candles"], ["krx_1m", "candles"]],
            description="Fills, equity and metrics of a strategy over the bars of all tiers.",
        ),
        dg.AssetSpec(
            TEARSHEET,
            group_name="research",
            owners=OWNERS,
            kinds={"html"},
            tags={"subject": "backtest"},
            deps=[RESULT],
            description="One self-contained page: equity, drawdown, trades and all figures.",
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "cash_conserved",
            asset=RESULT,
            description="Starting cash and the cash flow of every fill give the final cash.",
        ),
        dg.AssetCheckSpec(
            "fills_sane",
            asset=RESULT,
            description="Nothing was sold that was not held; every fill has price and quantity.",
        ),
        dg.AssetCheckSpec(
            "prefix_invariant",
            asset=RESULT,
            description="No decision changed when later bars were cut off.",
        ),
    ],
    pool="research",
)
def backtest(
    context: dg.AssetExecutionContext, config: BacktestConfig, house: HouseResource
) -> Iterator[Materialized]:
    """Run one backtest over the lake and write its files."""
    with plain_failures():
        result, document = run_and_write(house.open(), config, context.log.info)
    yield Materialized(
        RESULT,
        metadata=shown(result),
        check_results=_checks(result),
        data_version=dg.DataVersion(str(document["run"])),
    )
    yield Materialized(
        TEARSHEET,
        metadata={
            "page": dg.MetadataValue.path(str(document["tearsheet"])),
            "fills": dg.MetadataValue.path(str(document["trades_file"])),
            "document": dg.MetadataValue.path(str(document["document"])),
            "bytes": Path(str(document["tearsheet"])).stat().st_size,
        },
    )


def run_and_write(
    house: "House", config: BacktestConfig, say: Callable[..., None]
) -> tuple["BacktestResult", dict[str, object]]:
    """Run a backtest over all tiers and write its tables, tear sheet and document.

    Raises:
        InputError: The configuration or the bars cannot be used, or a hold-out is locked.
        JtsError: The strategy is refused, or no rule covers a day.
        StorageError: A tier is not there or a file is damaged.
    """
    listed = Path(config.instruments) if config.instruments else house.listing
    study = study_of(house, request_of(config), listed, tuple(config.benchmarks))
    result = study.backtest(lambda phase: say("backtest: %s", phase))
    return result, write_run(house, result)


def study_of(
    house: "House", request: "BacktestRequest", listed: Path | None, benchmarks: tuple[str, ...]
) -> "Study":
    """Load the bars of a request from all tiers.

    Raises:
        InputError: The request or the bars cannot be used, or a hold-out is locked.
        JtsError: The strategy is refused.
        StorageError: A tier is not there or a file is damaged.
    """
    from jts_pipelines.backtest.bar_files import read_table
    from jts_pipelines.backtest.benchmark import read_benchmark
    from jts_pipelines.research.study import Place, load_study

    place = Place(
        home=house.root,
        at_ns=house.clock.now_ns(),
        catalog=house.indicators,
        instruments=read_table(listed) if listed else None,
        asked_by="dagster",
    )
    wanted = [read_benchmark(text) for text in benchmarks]
    with house.lake() as lake:
        return load_study(request, place, lake, benchmarks=wanted)


def write_run(house: "House", result: "BacktestResult") -> dict[str, object]:
    """Write the files of a run below the home; return its document with the path of the document.

    Raises:
        InputError: A file cannot be written.
    """
    from jts_pipelines.backtest import request as asked
    from jts_pipelines.reports.tearsheet import write_tearsheet

    directory = house.root / "reports" / f"backtest-{asked.run_id(result)}"
    artifacts = asked.write_artifacts(result, directory)
    sheet = write_tearsheet(result, directory / "tearsheet.html")
    document = asked.document(result, artifacts, sheet)
    kept = directory / "backtest.json"
    kept.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    return document | {"document": kept}


def request_of(config: BacktestConfig) -> "BacktestRequest":
    """Return the request that a configuration spells.

    Raises:
        InputError: There is no such strategy file, a day is no date, or an assumption is none.
    """
    from jts_pipelines.backtest.loading import BacktestRequest
    from jts_pipelines.backtest.settings import BacktestSettings, read_assumptions

    path = Path(config.strategy)
    if not config.text and not path.is_file():
        raise InputError(f"{path}: no such strategy file")
    assumed = read_assumptions(config.assume)
    for kind in ("splits", "rights", "dividends", "delistings"):
        assumed[kind] = (*assumed.get(kind, ()), *getattr(config, kind))
    return BacktestRequest(
        text=config.text or path.read_text(encoding="utf-8"),
        file="<text>" if config.text else config.strategy,
        from_day=_day(config.from_day, "from_day"),
        to_day=_day(config.to_day, "to_day"),
        symbols=tuple(config.symbols) or None,
        params=config.params,
        settings=BacktestSettings(
            cash=config.cash,
            venue=config.venue,
            interval=config.interval,
            **assumed,
        ),
    )


def _day(text: str, name: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{name} is {text!r}; accepted: a date such as 2024-01-31") from error


def shown(result: "BacktestResult") -> dict[str, int | float | str | dg.MarkdownMetadataValue]:
    """Return figures and picture; what a person looks for first comes first."""
    doubts = "\n".join(f"* {found.text} (`{found.code}`)" for found in result.cautions)
    metrics = {name: value for name, value in result.metrics.items() if value is not None}
    return {
        "strategy": result.strategy,
        "bars": result.facts.bars,
        "trades": result.closed_trades,
        "final_equity": result.final_equity,
        "equity": _equity_plot(result),
        **({"warnings": dg.MetadataValue.md(doubts)} if doubts else {}),
        "seconds": round(result.seconds["total"], 3),
        "trials": result.trials,
        **metrics,
        "data_digest": result.digests.data,
        "code_digest": result.digests.code,
    }


def _equity_plot(result: "BacktestResult") -> dg.MarkdownMetadataValue:
    from jts_pipelines.reports.sparkline import png_sparkline

    encoded = base64.b64encode(png_sparkline(result.equity["equity"].to_list())).decode()
    return dg.MetadataValue.md(f"![equity](data:image/png;base64,{encoded})")


def _checks(result: "BacktestResult") -> list[dg.AssetCheckResult]:
    from jts_pipelines.defs.research.audit import audit

    sells_short = bool(result.config["short_selling"])
    found = audit(result.fills, result.equity, result.start_cash, sells_short=sells_short)
    return [
        dg.AssetCheckResult(
            check_name="cash_conserved",
            passed=found.cash_is_conserved,
            metadata={"expected": found.cash_expected, "found": found.cash_found},
        ),
        dg.AssetCheckResult(
            check_name="fills_sane",
            passed=found.fills_are_sane,
            metadata={"sold_short": found.sold_short, "not_positive": found.not_positive},
        ),
        dg.AssetCheckResult(
            check_name="prefix_invariant",
            passed=result.prefix.is_invariant,
            metadata={
                "cuts": len(result.prefix.cuts),
                "bars": result.prefix.bars,
                "difference": result.prefix.difference or "none",
            },
        ),
    ]
