"""The tear sheet: one file, complete, safe, equal for equal results."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from jts_pipelines.backtest.benchmark import Benchmark, absent, compare
from jts_pipelines.backtest.engine import run_backtest
from jts_pipelines.backtest.metrics import DEFINITIONS
from jts_pipelines.backtest.result import BacktestResult
from jts_pipelines.backtest.settings import BacktestSettings
from jts_pipelines.reports.sparkline import png_sparkline
from jts_pipelines.reports.style import GAIN, LOSS
from jts_pipelines.reports.tearsheet import render_tearsheet, write_tearsheet
from jts_pipelines.reports.words import BENCHMARK_LABELS, GROUPS, LABELS
from jts_trading.domain.sessions import calendar_for
from jts_trading.dsl.compiler import compile_strategy

HOSTILE = "<script>alert(1)</script>"
TEXT = """strategy("Plain") {
  entry.long { when (close > close[1]) { buy(quantity: "20%", type: "market") } }
  exit.long { when (close < close[1]) { sell(quantity: "all", type: "market") } }
}
"""


def bars(closes: list[int]) -> pl.DataFrame:
    """Return daily bars of two symbols from these closes."""
    days = calendar_for("KRX").sessions(date(2024, 5, 2), date(2024, 12, 20))[: len(closes)]
    rows = [
        {
            "symbol": symbol,
            "timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=9),
            "trade_date": day,
            "open": close,
            "high": close + 1,
            "low": close - 1,
            "close": close,
            "volume": 500,
        }
        for symbol, factor in (("005930", 1), ("000660", 2))
        for day, close in zip(days, [c * factor for c in closes], strict=True)
    ]
    return pl.DataFrame(rows).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "UTC")))


def result_of(closes: list[int], root: Path) -> BacktestResult:
    """Run the strategy of this file."""
    listing = pl.DataFrame(
        {
            "symbol": ["005930", "000660"],
            "market": ["KOSPI", "KOSPI"],
            "name": ["삼성전자", "SK하이닉스 <b>"],
        }
    )
    return run_backtest(
        compile_strategy(TEXT),
        bars(closes),
        BacktestSettings(cash=10_000_000),
        cache_dir=root,
        instruments=listing,
    )


@pytest.fixture(scope="module")
def result(kernels: Path) -> BacktestResult:
    """A run with wins, losses and a hostile name."""
    found = result_of([10_000 + 61 * (n * n % 17) for n in range(90)], kernels)
    # The language refuses such a name; the page must not depend on that.
    return replace(found, strategy=HOSTILE, text=f"# {HOSTILE}\n{found.text}")


class Outline(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.heads: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and what it refers to."""
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href")
        ]

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.words.append(data)
        if self.tags and self.tags[-1] == "h2":
            self.heads.append(data.strip())


def test_tearsheet_shows_every_part(result: BacktestResult) -> None:
    """Equity, months, trades, price, best and worst, figures, strategy and inputs are there."""
    outline = Outline(render_tearsheet(result))

    heads = [head for head in outline.heads if head]
    assert heads[:4] == ["Equity", "Rolling", "Monthly returns", "Trades"]
    assert "Best and worst trades" in heads
    assert heads[-3:] == ["Strategy", "Evidence", "What went in"]
    assert outline.tags.count("svg") == 5
    words = " ".join(outline.words)
    assert all(LABELS[name] in words for name in DEFINITIONS)
    assert result.digests.data in words
    assert result.digest in words
    assert "the same" in words
    assert f"{result.final_equity:,}" in words
    assert "삼성전자" in words


def test_tearsheet_is_red_for_gains_and_blue_for_losses(result: BacktestResult) -> None:
    """The convention of Korean boards holds in figures, tables and charts, and is said."""
    page = render_tearsheet(result)

    for colour, main in ((GAIN, 0), (LOSS, 2)):
        parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert max(parts) == parts[main]
        assert page.count(colour) > 3
    assert "Red is a gain, blue a loss" in page
    tone = "gain" if result.final_equity > result.start_cash else "loss"
    assert f'<b class="{tone}">{result.final_equity:,}</b>' in page


def test_tearsheet_explains_each_figure_on_hover(result: BacktestResult) -> None:
    """Every figure has a readable name, a definition as title, and one place."""
    page = render_tearsheet(result)

    assert all(f'title="{escape(text)}"' in page for text in DEFINITIONS.values())
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(DEFINITIONS)
    assert not [label for label in LABELS.values() if "_" in label]


def test_tearsheet_lists_open_positions(kernels: Path) -> None:
    """What is still held stands in a section of its own with its value at the last close."""
    found = result_of([10_000, 10_100, 10_200, 10_300], kernels)
    page = render_tearsheet(found)
    held = found.trades.filter(pl.col("status") == "open")

    assert held.height == 2
    assert "Open positions" in Outline(page).heads
    assert f"{int(held['profit'].sum()):+,} won in all" in page
    assert "No trade was closed." in page


def test_tearsheet_needs_no_network_and_runs_no_script(result: BacktestResult) -> None:
    """One file: no address to load from, no script, and a policy that forbids both."""
    page = render_tearsheet(result)
    outline = Outline(page)

    assert "script" not in outline.tags
    assert all(link.startswith("#") for link in outline.links)
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= set(re.findall(r"url\((#[^)]*)\)", page))
    assert "default-src 'none'" in page


def test_tearsheet_of_hostile_names_shows_them_as_text(result: BacktestResult) -> None:
    """What people wrote is text, in the headline, the strategy and the names."""
    page = render_tearsheet(result)

    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "SK하이닉스 &lt;b&gt;" in page
    assert "<script" not in render_tearsheet(result, "<script>x</script>")


def test_tearsheet_of_equal_results_is_equal(result: BacktestResult) -> None:
    """No clock and no chance goes into a page."""
    assert render_tearsheet(result) == render_tearsheet(result)


def test_tearsheet_keeps_references_between_its_charts_apart(result: BacktestResult) -> None:
    """Several drawings share one page: every id that is referred to exists, none twice unequal."""
    page = render_tearsheet(result)
    outline = Outline(page)
    ids = set(re.findall(r'\sid="([^"]+)"', page))

    assert {link.removeprefix("#") for link in outline.links} <= ids
    assert set(re.findall(r"url\(#([^)]*)\)", page)) <= ids


def test_tearsheet_of_a_run_without_trades_says_so(kernels: Path) -> None:
    """Nothing to show is shown as such, with the warnings first."""
    page = render_tearsheet(result_of([10_000] * 5, kernels))

    assert "No trade was closed." in page
    assert "Read this first" in page
    assert Outline(page).tags.count("svg") == 1


def test_tearsheet_of_one_session_can_be_drawn(kernels: Path) -> None:
    """The smallest run there is has a page too."""
    assert "1 session &middot;" in render_tearsheet(result_of([10_000], kernels))


def test_write_tearsheet_into_a_new_folder_leaves_one_whole_file(
    result: BacktestResult, tmp_path: Path
) -> None:
    """The folder is made, an older file is replaced, nothing unfinished stays behind."""
    path = tmp_path / "deep" / "sheet.html"

    assert write_tearsheet(result, path) == path
    write_tearsheet(result, path)

    assert [file.name for file in path.parent.iterdir()] == ["sheet.html"]
    assert path.read_text(encoding="utf-8") == render_tearsheet(result)


def test_png_sparkline_is_a_small_picture(result: BacktestResult) -> None:
    """Dagster keeps metadata for ever, so the picture is small."""
    picture = png_sparkline(result.equity["equity"].to_list(), "equity")

    assert picture.startswith(b"\x89PNG")
    assert 1_000 < len(picture) < 100_000


def test_png_sparkline_of_nothing_is_refused() -> None:
    """A line over no values is a mistake of the caller."""
    with pytest.raises(ValueError, match="at least one value"):
        png_sparkline([])


def test_tearsheet_compares_with_benchmarks_and_says_which_are_absent(
    result: BacktestResult,
) -> None:
    """A benchmark without bars is named with the way to give them; the others are a table."""
    days = result.equity["session"]
    index = pl.DataFrame({"date": days, "close": [100.0 + n % 7 for n in range(len(days))]})
    index_of = Benchmark("INDEX")
    compared = compare(
        result.equity, result.start_cash, index_of, index, venue="KRX", sessions_per_year=252
    )
    missing = absent(Benchmark("KOSDAQ"), "no bars of <KRX:KOSDAQ>")

    page = render_tearsheet(replace(result, comparisons=(compared, missing)))

    outline = Outline(page)
    assert "Against benchmarks" in outline.heads
    assert all(label in page for label in map(escape, BENCHMARK_LABELS.values()))
    assert "KOSDAQ is absent: no bars of &lt;KRX:KOSDAQ&gt;" in page
