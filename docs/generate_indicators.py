"""Write docs/indicators.md from the definitions of the native indicators.

Run `.venv/bin/python docs/generate_indicators.py`; with `--check` nothing is written and the exit
code says whether the page is up to date.
"""

import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from jts_trading.indicators.catalog import FAMILIES, NATIVE
from jts_trading.indicators.definition import Definition, Parameter, Settings, Unit, setting_text

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "indicators.md"
DIFFERENCES = ROOT / "docs" / "indicator_differences.toml"
PARAGRAPHS = ("Formula", "Source", "Null", "Slots")
UNITS = {
    Unit.INPUT: "as the input",
    Unit.SQUARE: "square of the input",
    Unit.NUMBER: "number",
    Unit.PERCENT: "percentage",
}

HEAD = """# Indicators

Written by `docs/generate_indicators.py` from the definitions in `jts_trading/indicators`; do not
edit. {count} native indicators; a name or one of its other names is written as in
`SMA(period: 20)` or `SMA(20)`, whatever the case of its letters. `source:` (and what else is named
under *Series*) replaces the input by any series of numbers: `SMA(20, source: RSI(14))`. An
indicator with several outputs is named first: `m = MACD()`, then `m.histogram`.

Every indicator is one step over a few numbers of memory, so a backtest, single bars and a
restart from a snapshot give the same bits. General rules, which the entries do not repeat:

* A null input leaves the memory as it was and the outputs null. Halted and absent bars do not
  exist, and the first value of an inner indicator is the first bar of an outer one.
* A quotient by zero is null. TA-Lib answers 0 there, pandas-ta-classic an infinity or NaN.
* *First value* is the bar on which all outputs are defined, counted from 1.
* Outputs marked *exact* are whole numbers over a whole divisor: comparisons of them that tie are
  decided exactly. All others are float64.
* Values agree with TA-Lib 0.8 and pandas-ta-classic 0.8 to 1e-9 from the same bar on, wherever
  these have the indicator and no difference is listed; all others are compared with slow formulas.

"""


def sections(definition: Definition) -> dict[str, str]:
    """Return the headed paragraphs of the docstring of an indicator's step.

    Raises:
        ValueError: There is no docstring, or no formula or source in it.
    """
    text = inspect.getdoc(definition.step) or ""
    found = {}
    for paragraph in text.split("\n\n"):
        head, _, rest = paragraph.partition(":")
        if head in PARAGRAPHS:
            found[head] = " ".join(rest.split())
    missing = {"Formula", "Source"} - set(found)
    if missing:
        raise ValueError(f"{definition.step.__name__} lacks {', '.join(sorted(missing))}")
    return found


def first_value(definition: Definition) -> str:
    """Return the bar of the first value: as a sum of parameters, or for the usual settings."""
    usual = {
        p.name: Fraction(20) if p.default is None else p.default for p in definition.parameters
    }
    start = definition.warmup(usual)
    terms, constant = [], start
    for name, value in usual.items():
        grown = [definition.warmup(usual | {name: value + k}) for k in (1, 2, 7, 20)]
        slope = grown[0] - start
        if [g - start for g in grown] != [slope * k for k in (1, 2, 7, 20)]:
            shown = ", ".join(f"{k} {float(v):g}" for k, v in usual.items())
            return f"{start} with {shown}"
        constant -= int(slope * value)
        if slope:
            terms.append(name if slope == 1 else f"{slope} x {name}")
    text = " + ".join(terms) or str(constant)
    if terms and constant:
        text += f" {'+' if constant > 0 else '-'} {abs(constant)}"
    return text


def _parameter(parameter: Parameter) -> str:
    default = (
        ""
        if parameter.default is None
        else f" = {setting_text(parameter.kind, parameter.default)}"
    )
    low, high = setting_text(parameter.kind, parameter.low), _high(parameter)
    return f"`{parameter.name}`{default}, {parameter.kind}, {low} to {high}"


def _high(parameter: Parameter) -> str:
    text = setting_text(parameter.kind, parameter.high)
    return f"{parameter.high.numerator:,}" if text.isdecimal() else text


def _outputs(definition: Definition, settings: Settings) -> Iterator[str]:
    single = len(definition.outputs) == 1
    for output in definition.outputs:
        names = " or ".join(f"`{name}`" for name in (output.name, *output.aliases))
        exact = ", exact" if output.divisor is not None and output.divisor(settings) else ""
        yield f"{'' if single else names + ': '}{UNITS[output.unit]}{exact}"


def entry(definition: Definition, differences: list[dict[str, str]]) -> list[str]:
    """Return the lines of one indicator."""
    told = sections(definition)
    aliases = (
        f" (also {', '.join(f'`{a}`' for a in definition.aliases)})" if definition.aliases else ""
    )
    usual = {
        p.name: Fraction(20) if p.default is None else p.default for p in definition.parameters
    }
    waits = f"; then {definition.waits_for}" if definition.waits_for else ""
    lines = [
        f"### {definition.name}",
        "",
        f"{definition.summary[:1].upper()}{definition.summary[1:]}{aliases}.",
        "",
    ]
    if definition.parameters:
        lines.append(f"* Parameters: {'; '.join(map(_parameter, definition.parameters))}")
    series = (
        f"; series {', '.join(f'`{n}`' for n in definition.source_names)}"
        if definition.source_names
        else ""
    )
    lines += [
        f"* Reads: {', '.join(definition.inputs)}{series}",
        f"* Gives: {'; '.join(_outputs(definition, usual))}",
        f"* First value: bar {first_value(definition)}{waits}",
        f"* Formula: {told['Formula']}",
        f"* Source: {told['Source']}",
    ]
    if "Null" in told:
        lines.append(f"* Null: {told['Null']}")
    lines += [
        f"* {d['judge']} differs: {d['differs']}. Why: {d['reason']}."
        for d in differences
        if d["indicator"] == definition.name
    ]
    return [*lines, ""]


def render() -> str:
    """Return the page as Markdown."""
    differences = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))["difference"]
    unknown = {d["indicator"] for d in differences} - set(NATIVE.definitions)
    if unknown:
        raise ValueError(f"differences of unknown indicators: {', '.join(sorted(unknown))}")
    lines = []
    for title, family in FAMILIES.items():
        names = ", ".join(
            f"[{d.name}](#{re.sub('[^a-z0-9_]', '', d.name.lower())})" for d in family
        )
        lines += [f"**{title}:** {names}", ""]
    for title, family in FAMILIES.items():
        lines += [f"## {title}", ""]
        for definition in family:
            lines += entry(definition, differences)
    return HEAD.format(count=len(NATIVE.definitions)) + "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Write the page, or say whether it is up to date."""
    page = render()
    if "--check" in sys.argv:
        return int(page != TARGET.read_text(encoding="utf-8"))
    TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
