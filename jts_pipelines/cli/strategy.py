"""`jts strategy`: check a strategy text, explain what it compiles to, start a new one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jts_trading.telemetry import console

if TYPE_CHECKING:
    from rich.console import Group

    from jts_trading.dsl.errors import StrategyError
    from jts_trading.dsl.plan import Plan

set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replace the value of a parameter of the text.",
)
file_argument = click.argument("file", type=click.Path(path_type=Path))


@click.group()
def strategy() -> None:
    """Check, explain and start strategy texts."""


@strategy.command()
@file_argument
@set_option
@console.json_option
def check(file: Path, *, assignments: tuple[str, ...], as_json: bool) -> None:
    """Check a strategy text without running it.

    FILE is the text; - reads it from stdin.
    """
    from jts_trading.dsl.errors import StrategyError
    from jts_trading.strategy.live import live_refusal, plan_notes

    try:
        plan = read_plan(file, assignments)
    except StrategyError as error:
        show_refusal(error, as_json=as_json)
        raise
    refusal, notes = live_refusal(plan), plan_notes(plan)
    document = {
        "ok": True,
        "name": plan.name,
        "digest": plan.digest,
        "rules": len(plan.rules),
        "needs": list(plan.needs),
        "base_interval": plan.base_interval,
        "warmup_bars": plan.warmup_bars,
        "state_size": plan.state_size,
        "live": refusal or "ok",
        "notes": list(notes),
    }
    if as_json:
        console.emit(document, as_json=True)
        return
    warmup = ", ".join(f"{bars} {frame} bars" for frame, bars in plan.warmup_bars.items())
    click.echo(f"{file}: {plan.name} is sound: {len(plan.rules)} rules, warm-up {warmup or 0}")
    for note in (*notes, *([f"not live: {refusal}"] if refusal else [])):
        click.echo(note)


@strategy.command()
@file_argument
@set_option
@console.json_option
def explain(file: Path, *, assignments: tuple[str, ...], as_json: bool) -> None:
    """Show plan, warm-up, state and generated source of a strategy.

    FILE is the text; - reads it from stdin.
    """
    from jts_trading.dsl.errors import StrategyError
    from jts_trading.dsl.explain import explain as explained

    try:
        plan = read_plan(file, assignments)
    except StrategyError as error:
        show_refusal(error, as_json=as_json)
        raise
    console.emit(explained(plan), as_json=as_json, table=lambda: _tables(plan))


@strategy.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the strategy; the file's name when left out.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def new(file: Path, *, name: str | None, force: bool) -> None:
    """Write a commented strategy to start from into FILE."""
    from jts_trading.dsl.compiler import compile_strategy
    from jts_trading.dsl.template import template

    text = template(name or file.stem)
    compile_strategy(text, file=str(file))
    try:
        with file.open("w" if force else "x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError as error:
        message = f"{file} exists; --force replaces it"
        raise console.CommandError(message, console.BAD_USAGE) from error
    click.echo(f"{file}: written; check it with: jts strategy check {file}")


@strategy.command()
@file_argument
@click.option(
    "--check", "only_check", is_flag=True, help="Change nothing; exit with 1 if it would."
)
def fmt(file: Path, *, only_check: bool) -> None:
    """Lay a strategy text out in the one way; comments stay.

    FILE is the text, which is replaced; - reads stdin and writes stdout.
    """
    from jts_trading.dsl.errors import StrategyError
    from jts_trading.dsl.formatting import format_text

    text = _read_text(file)
    try:
        formatted = format_text(text, file=_name_of(file))
    except StrategyError as error:
        show_refusal(error, as_json=False)
        raise
    is_same = formatted.encode() == text
    if only_check:
        if not is_same:
            message = f"{file} is laid out differently; jts strategy fmt {file} changes it"
            raise console.CommandError(message, console.CHECK_FAILED)
        click.echo(f"{file}: laid out as it should be")
    elif _name_of(file) == _STDIN:
        click.echo(formatted, nl=False)
    elif is_same:
        click.echo(f"{file}: unchanged")
    else:
        file.write_text(formatted, encoding="utf-8")
        click.echo(f"{file}: formatted")


@strategy.command()
@file_argument
@console.json_option
def release(file: Path, *, as_json: bool) -> None:
    """Make a strategy text a candidate for a release.

    FILE is checked for live trading and copied into the folder of candidates of the home, where
    Dagster finds it: backtest and walk-forward then decide whether it is released.
    """
    from jts_pipelines.defs.research import gate
    from jts_trading.config.settings import load_settings
    from jts_trading.dsl.errors import StrategyError
    from jts_trading.strategy.live import require_tradable

    try:
        plan = read_plan(file, ())
        require_tradable(plan)
    except StrategyError as error:
        show_refusal(error, as_json=as_json)
        raise
    folder = load_settings().instance.root / gate.CANDIDATES
    candidate = gate.candidate_of(file)
    path = folder / f"{candidate.key.partition('@')[0]}.jts"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(candidate.text, encoding="utf-8")
    unfinished.replace(path)
    if as_json:
        document = {"candidate": candidate.key, "strategy": plan.name, "path": str(path)}
        console.emit(document, as_json=True)
        return
    click.echo(f"{file}: candidate {candidate.key}; its evidence decides, see docs/research.md")


_STDIN = "<stdin>"


def _name_of(file: Path) -> str:
    return _STDIN if str(file) == "-" else str(file)


def _read_text(file: Path) -> bytes:
    from jts_trading.dsl.grammar import TEXT_BYTES_MAX

    with click.open_file(str(file), "rb") as opened:
        # One byte more than is accepted is enough to refuse a text by its size.
        found: bytes = opened.read(TEXT_BYTES_MAX + 1)
    return found


def read_plan(file: Path, assignments: tuple[str, ...]) -> "Plan":
    """Compile the text of a file with parameters as given on the command line.

    Raises:
        CommandError: An assignment is not NAME=VALUE.
        StrategyError: The text is refused.
        OwnIndicatorError: An indicator of the configured folder cannot be used.
    """
    from jts_trading.config.settings import load_settings
    from jts_trading.dsl.compiler import compile_strategy
    from jts_trading.kernels.own_indicators import load_catalog

    params = assigned(assignments)
    return compile_strategy(
        _read_text(file),
        file=_name_of(file),
        params=params,
        catalog=load_catalog(load_settings().indicators.own),
    )


def assigned(assignments: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of `--set NAME=VALUE`.

    Raises:
        CommandError: An assignment is not NAME=VALUE, or a name is given twice.
    """
    params: dict[str, str] = {}
    for assignment in assignments:
        name, _, value = (part.strip() for part in assignment.partition("="))
        if not name or not value or name in params:
            message = f"--set is {assignment!r}; accepted: NAME=VALUE, each name once"
            raise console.CommandError(message, console.BAD_USAGE)
        params[name] = value
    return params


def show_refusal(error: "StrategyError", *, as_json: bool) -> None:
    """Print on stdout where a text is refused: a document, or the line with a caret.

    The error itself is raised on and becomes the one line on stderr.
    """
    if as_json:
        console.emit(_refusal(error), as_json=True)
    elif error.place.excerpt:
        click.echo(error.render().partition("\n")[2])


def _refusal(error: "StrategyError") -> dict[str, Any]:
    return {
        "ok": False,
        "file": error.place.file,
        "line": error.line,
        "column": error.column,
        "message": error.message,
        "hint": error.hint,
    }


def _tables(plan: "Plan") -> "Group":
    from rich.console import Group
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    from jts_trading.dsl.explain import explain_risk, explain_rule
    from jts_trading.strategy.universe import describe

    facts = Table("fact", "value", title=plan.name)
    for name, value in (
        ("digest", plan.digest),
        ("base time frame", plan.base_interval or "as the bars"),
        ("higher time frames", ", ".join(f"{t.name} {t.interval}" for t in plan.timeframes)),
        ("reads", ", ".join(plan.needs)),
        ("warm-up", ", ".join(f"{n} {f} bars" for f, n in plan.warmup_bars.items())),
        ("state", f"{plan.state_size} numbers per instrument"),
        ("risk", ", ".join(f"{k} {v}" for k, v in explain_risk(plan.risk).items())),
        (
            "universe",
            "; ".join(filter(None, (describe(plan.universe), *plan.universe.conditions))),
        ),
        ("rules that ask for the account", str(sum(r.is_guarded for r in plan.rules) or "")),
    ):
        facts.add_row(name, Text(value or "-"))
    nodes = Table("node", "time frame", "computes", "slots", title="plan")
    for node in plan.nodes:
        nodes.add_row(f"#{node.number}", node.frame, Text(node.text), str(node.slots))
    rules = Table("bit", "side", "when", "order", title="rules")
    for rule in plan.rules:
        told = explain_rule(rule)
        force = "" if told["time_in_force"] == "day" else f", {told['time_in_force']}"
        order = f"{told['action']} {told['quantity']} ({told['type']}{force})"
        rules.add_row(str(rule.bit), told["side"], Text(told["condition"]), Text(order))
    sources = [plan.source, plan.guard] if plan.guard else [plan.source]
    shown = [Syntax(source, "python", background_color="default") for source in sources]
    return Group(facts, nodes, rules, *shown)
