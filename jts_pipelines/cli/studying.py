"""What `jts backtest`, `jts sweep` and `jts walk-forward` share: options, bars, progress."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from jts_pipelines.cli.strategy import assigned, show_refusal
from jts_trading.telemetry import console
from storage.errors import InputError

if TYPE_CHECKING:
    from rich.text import Text

    from jts_pipelines.backtest.benchmark import Comparison
    from jts_pipelines.backtest.loading import BacktestRequest, BarLake
    from jts_pipelines.backtest.settings import BacktestSettings
    from jts_pipelines.research.study import Place, Study
    from jts_trading.config.settings import Settings

DAY = click.DateTime(["%Y-%m-%d"])
FILE = click.Path(dir_okay=False, path_type=Path)

_OPTIONS = (
    click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    click.option(
        "--from", "from_day", type=DAY, help="First session; the first stored one if left out."
    ),
    click.option("--to", "to_day", type=DAY, help="Last session, inclusive."),
    click.option("--venue", default="KRX", show_default=True, help="Where it trades."),
    click.option("--symbols", help="Comma-separated; all that have bars if left out."),
    click.option("--interval", default="1d", show_default=True, help="Interval of the bars."),
    click.option(
        "--cash",
        type=click.IntRange(min=1),
        default=None,
        help="Starting cash; 100 million won, or 100,000 USDT, if left out.",
    ),
    click.option(
        "--set", "assignments", multiple=True, metavar="P=V", help="Value of a parameter."
    ),
    click.option("--broker", help="Take only bars of this source."),
    click.option("--commission", metavar="RATE", help="The account's own rate, such as 0.00015."),
    click.option(
        "--assume",
        "assumptions",
        multiple=True,
        metavar="NAME=VALUE",
        help="How orders fill: fill=close, volume_percent=5, slippage_bps=3, exits_inside=yes ...",
    ),
    click.option("--splits", type=FILE, help="File of symbol, date, old and new shares."),
    click.option(
        "--rights", type=FILE, help="File of symbol, ex-date as date, ratio (new per old), price."
    ),
    click.option("--dividends", type=FILE, help="File of symbol, ex-date as date, and amount."),
    click.option(
        "--delistings", type=FILE, help="File of symbol, date and price of what was delisted."
    ),
    click.option(
        "--short-selling",
        "sells_short",
        is_flag=True,
        help="Obey rules that sell short and cover; without it they are left out.",
    ),
    click.option(
        "--limits",
        "has_limits",
        is_flag=True,
        help="Deny the entries that the limits in [risk] would deny live.",
    ),
    click.option(
        "--bars", type=FILE, help="Read a Parquet or CSV file of bars or trades, not the tiers."
    ),
    click.option(
        "--mapping",
        default="",
        metavar="FIELD=COLUMN,...",
        help="Columns of the file by name: timestamp=day,close=last; common names are known.",
    ),
    click.option("--timezone", help="Zone of times in the file that name none: Asia/Seoul."),
    click.option(
        "--ticks", "has_ticks", is_flag=True, help="Build the bars from trades that were recorded."
    ),
    click.option("--quotes", type=FILE, help="Best quotes, or books, beside trades."),
    click.option(
        "--instruments",
        type=FILE,
        help="Listing with symbol, market, name; for the tiers, the instance's own if left out.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The shared options of one command line."""

    file: Path
    from_day: datetime | None
    to_day: datetime | None
    venue: str
    symbols: str | None
    interval: str
    cash: int | None
    assignments: tuple[str, ...]
    broker: str | None
    commission: str | None
    assumptions: tuple[str, ...]
    splits: Path | None
    rights: Path | None
    dividends: Path | None
    delistings: Path | None
    sells_short: bool
    has_limits: bool
    bars: Path | None
    mapping: str
    timezone: str | None
    has_ticks: bool
    quotes: Path | None
    instruments: Path | None

    def request(self) -> "BacktestRequest":
        """Return the request that the options spell.

        Raises:
            InputError, CommandError: An option is not accepted.
        """
        from jts_pipelines.backtest.loading import BacktestRequest
        from jts_pipelines.backtest.settings import BacktestSettings, read_assumptions
        from jts_pipelines.backtest.vendor_bars import FileForm
        from jts_pipelines.ingest.mapping import parse_mapping

        form = FileForm(parse_mapping(self.mapping), self.timezone)
        if self.bars is None and form != FileForm():
            raise InputError("--mapping and --timezone say how to read a file: they need --bars")
        assumed = read_assumptions(self.assumptions)
        files = {
            "splits": self.splits,
            "rights": self.rights,
            "dividends": self.dividends,
            "delistings": self.delistings,
        }
        for kind, file in files.items():
            if file is not None:
                assumed[kind] = (*assumed.get(kind, ()), *_actions(kind, file))
        if self.sells_short:
            assumed["short_selling"] = True
        settings = BacktestSettings(
            cash=self.cash or 0,
            venue=self.venue.upper(),
            interval=self.interval,
            commission_rate=self.commission,
            **assumed,
        )
        return BacktestRequest(
            text=_text(self.file),
            file=str(self.file),
            from_day=self.from_day.date() if self.from_day else None,
            to_day=self.to_day.date() if self.to_day else None,
            symbols=_symbols(self.symbols),
            params=assigned(self.assignments),
            bar_broker=self.broker,
            has_ticks=self.has_ticks,
            quotes=self.quotes,
            form=form,
            settings=_limited(settings) if self.has_limits else settings,
        )


def _actions(kind: str, file: Path) -> tuple[str, ...]:
    from jts_pipelines.backtest.bar_files import read_table
    from jts_pipelines.backtest.corporate_files import actions_of

    return actions_of(read_table(file), kind, file)


def _limited(settings: "BacktestSettings") -> "BacktestSettings":
    """Return settings with the limits of risk that the configuration has."""
    import msgspec

    from jts_pipelines.backtest.settings import limits_of
    from jts_trading.config.source import read
    from jts_trading.domain.trading_inputs import RiskLimits

    limits = limits_of(read().load(RiskLimits, "risk"), settings.terms.currency)
    return msgspec.structs.replace(settings, limits=limits)


def study_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the shared options; it receives them as `given`."""
    names = tuple(Given.__dataclass_fields__)

    @wraps(command)
    def gathered(**options: Any) -> Any:
        given = Given(**{name: options.pop(name) for name in names})
        return command(given=given, **options)

    return reduce(lambda made, option: option(made), reversed(_OPTIONS), gathered)


sweep_option = click.option(
    "--sweep",
    "ranges",
    multiple=True,
    metavar="P=A..B..S",
    help="Range of a parameter: inside that of the text, if it has one.",
)


@contextmanager
def open_study(
    given: Given, settings: "Settings", benchmarks: tuple[str, ...] = (), *, as_json: bool
) -> "Iterator[Study]":
    """Compile the strategy, load its bars, refuse locked hold-outs.

    Raises:
        StrategyError: The text is refused; its place is shown.
        InputError, StorageError: See `study.load_study`.
    """
    from jts_pipelines.backtest.benchmark import read_benchmark
    from jts_pipelines.research.study import load_study

    wanted = [read_benchmark(text) for text in benchmarks]
    request, place = asked_of(given, settings, as_json=as_json)
    with opened_source(given, settings) as source:
        study = load_study(request, place, source, benchmarks=wanted)
    yield study


def asked_of(
    given: Given, settings: "Settings", *, as_json: bool
) -> "tuple[BacktestRequest, Place]":
    """Return what is asked and where; a text that is refused must not start a store first."""
    from jts_pipelines.backtest.bar_files import read_table
    from jts_pipelines.backtest.request import compiled
    from jts_pipelines.defs.house import House
    from jts_pipelines.research.study import Place
    from jts_trading.dsl.errors import StrategyError

    house, request = House(settings), given.request()
    try:
        catalog = house.indicators
        compiled(request, catalog)
    except StrategyError as error:
        show_refusal(error, as_json=as_json)
        raise
    listed = given.instruments or (house.listing if given.bars is None else None)
    place = Place(
        home=house.root,
        at_ns=house.clock.now_ns(),
        catalog=catalog,
        instruments=None if listed is None else read_table(listed),
    )
    return request, place


@contextmanager
def opened_source(given: Given, settings: "Settings") -> "Iterator[BarLake | Path]":
    """Hand out the file that was named, or all tiers of a running or started store."""
    if given.bars is not None:
        yield given.bars
        return
    with _opened_lake(settings) as lake:
        yield lake


@contextmanager
def _opened_lake(settings: "Settings") -> "Iterator[BarLake]":
    from jts_pipelines.cli.instance import running_stores
    from storage.hot.store import HotStore
    from storage.lake.lake import Lake
    from storage.manifest.chain import Manifests

    home = settings.instance.root
    with running_stores(settings) as stores:
        hot = HotStore(stores.hot)
        try:
            manifests = Manifests(settings.tiers.path(home, "manifests"))
            yield Lake(hot, manifests, settings.tiers, home)
        finally:
            hot.close()


def ranges_of(texts: tuple[str, ...]) -> dict[str, str]:
    """Return the ranges of `--sweep NAME=LOW..HIGH..STEP`.

    Raises:
        CommandError: One is not spelled so, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, _, values = (part.strip() for part in text.partition("="))
        if not name or ".." not in values or name in found:
            message = f"--sweep is {text!r}; accepted: NAME=LOW..HIGH..STEP, each name once"
            raise console.CommandError(message, console.BAD_USAGE)
        found[name] = values
    return found


def not_compared(comparisons: Iterable["Comparison"]) -> "list[Text]":
    """Return a line for each benchmark that was asked for and is absent; none by default."""
    from rich.text import Text

    source = click.get_current_context().get_parameter_source("benchmarks")
    if source is not ParameterSource.COMMANDLINE:
        return []
    return [
        Text(f"! {comparison.name} is absent: {comparison.absence}", style="yellow")
        for comparison in comparisons
        if comparison.absence
    ]


@contextmanager
def shown_trials(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of trials while the block runs; hand out what tells it."""
    with console.progress() as lines:
        bar = lines.add(title)
        yield lambda done, most: bar.update(done=done, total=most)


def keep_document(document: dict[str, object], path: Path) -> None:
    """Write a document beside its tables.

    Raises:
        OSError: It cannot be written.
    """
    import msgspec

    path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise console.CommandError(
            f"{file}: not UTF-8 text: {error}", console.BAD_USAGE
        ) from error


def _symbols(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise console.CommandError(
            f"--symbols is {text!r}; accepted: codes with commas, such as 005930,000660",
            console.BAD_USAGE,
        )
    return found
