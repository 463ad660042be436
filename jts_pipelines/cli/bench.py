"""`jts bench`: JTS beside its peers, on the same generated input, in one run."""

from typing import Any

import click

from jts_trading.telemetry import console

_ACCEPTED = ("backtest", "indicators", "sweep", "live-step", "events", "compile")


@click.command()
@click.argument("bench", type=click.Choice(_ACCEPTED), metavar="|".join(_ACCEPTED))
@click.option("--repeats", default=5, show_default=True, help="Runs that count; their median.")
@click.option("--only", multiple=True, metavar="ENGINE", help="Run these engines only.")
@console.json_option
def bench(bench: str, *, repeats: int, only: tuple[str, ...], as_json: bool) -> None:
    """Run one of the benchmarks and print what each engine took, held and found.

    Peers are installed when they are first needed; one that cannot be has a line with its error.
    """
    from jts_pipelines.bench.report import lines_of
    from jts_pipelines.bench.rows import BENCHES
    from jts_pipelines.bench.running import Bench
    from jts_trading.config.settings import load_settings

    if not 1 <= repeats <= 1_000:
        raise console.CommandError("--repeats: accepted are 1 to 1,000", console.BAD_USAGE)
    folder = load_settings().instance.root / "cache" / "bench"
    runner = Bench(folder=folder, repeats=repeats, say=_say)
    for case in BENCHES[bench]:
        lines = lines_of(bench, case, runner.run(case, frozenset(only)))
        if as_json:
            for line in lines:
                console.emit(line, as_json=True)
        else:
            click.echo(_table(lines))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _table(lines: list[dict[str, Any]]) -> str:
    head = f"{'case':22}{'engine':18}{'seconds':>10}{'rows/s':>14}{'MB':>8}{'x jts':>8}  agrees"
    rows = [
        f"{line['case']:22}{line['engine']:18}{line['error']}"
        if "error" in line
        else f"{line['case']:22}{line['engine']:18}{_number(line['seconds'], '.4f'):>10}"
        f"{_number(line['rate'], ',.0f'):>14}{_number(line['peak_rss_mb'], ',.0f'):>8}"
        f"{_number(line['ratio_to_jts'], '.2f'):>8}  {_answer(line['agrees'])}"
        for line in lines
    ]
    return "\n".join((head, *rows))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _answer(agrees: bool | None) -> str:
    return {True: "yes", False: "NO", None: ""}[agrees]
