"""The native indicators as a catalogue: names, calls from texts, the page about them."""

import importlib.util
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.plan import Plan
from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.indicators.definition import (
    Definition,
    Parameter,
    ParameterKind,
    Unit,
    setting_text,
)

ROOT = Path(__file__).parents[3]
NAMES = sorted(NATIVE.definitions)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script that writes the page, loaded from its file."""
    path = ROOT / "docs" / "generate_indicators.py"
    spec = importlib.util.spec_from_file_location("generate_indicators", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_condition(condition: str, before: str = "") -> Plan:
    """Compile a strategy of one rule."""
    return compile_strategy(
        f'strategy("T") {{ {before} entry.long {{ when ({condition}) {{ buy("5%") }} }} }}'
    )


def value_of(parameter: Parameter) -> str:
    """Return a value of a parameter as it is written in a text."""
    value = Fraction(20) if parameter.default is None else parameter.default
    text = setting_text(parameter.kind, value)
    return f'"{text}"' if parameter.kind is ParameterKind.DATE else text


def call_of(definition: Definition, name: str | None = None) -> str:
    """Return a call with every parameter given by name."""
    given = (f"{p.name}: {value_of(p)}" for p in definition.parameters)
    return f"{name or definition.name}({', '.join(given)})"


def test_page_when_compared_with_the_definitions_then_up_to_date(generator: ModuleType) -> None:
    """docs/indicators.md is what the definitions say; every step tells formula and source."""
    page = (ROOT / "docs" / "indicators.md").read_text(encoding="utf-8")

    assert page == generator.render()


@pytest.mark.parametrize("name", NAMES)
def test_indicator_when_called_from_a_text_then_compiled(name: str) -> None:
    """Each one is reached by its name and its other names, with parameters by name."""
    definition = NATIVE.definitions[name]
    output = definition.outputs[-1]
    field = "" if len(definition.outputs) == 1 else f".{output.name}"
    sides = {Unit.PERCENT: "0.5%"}.get(output.unit, "0")
    digests = set()
    for word in (name, name.upper(), *definition.aliases):
        plan = compile_condition(
            f"it{field} > {sides}", f"indicators {{ it = {call_of(definition, word)} }}"
        )

        digests.add(plan.source)
        compile(plan.source, "<generated>", "exec")
    assert len(digests) == 1


@pytest.mark.parametrize("name", NAMES)
def test_definition_when_read_then_its_words_fit(name: str, generator: ModuleType) -> None:
    """Output and parameter names are words of the language; the docstring says all it must."""
    definition = NATIVE.definitions[name]

    assert generator.sections(definition)
    assert definition.summary[-1:] != "."
    parameters = [p.name for p in definition.parameters]
    outputs = [o.name for o in definition.outputs]
    for words in ([*parameters, *definition.source_names], outputs):
        assert all(word.isidentifier() and word == word.lower() for word in words)
        assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("SNA(20)", "did you mean SMA"),
        ("Bolinger()", "did you mean Bollinger"),
        ("WMA()", 'WMA needs "period"'),
        ("WMA(0)", "accepted: 1 to 10000"),
        ("T3(5, volume_facto: 0.7)", "did you mean volume_factor"),
        ("T3(5, 1.5)", "accepted: 0 to 1"),
        ("ATR(14, source: close)", 'no parameter "source"'),
    ],
)
def test_indicator_when_called_wrongly_then_the_message_says_what_is_meant(
    call: str, message: str
) -> None:
    """Errors name the nearest known name and the accepted range."""
    with pytest.raises(StrategyError) as caught:
        compile_condition(f"{call} > 0")

    assert message in str(caught.value)


def test_catalog_when_two_indicators_share_a_name_then_refused() -> None:
    """A name means one indicator, whatever the case of its letters."""
    first = NATIVE.definitions["SMA"]

    with pytest.raises(ValueError, match='called "SMMA"'):
        Catalog((NATIVE.definitions["RMA"], _renamed(first, "SMMA")))


def _renamed(definition: Definition, name: str) -> Definition:
    return Definition(
        name=name,
        summary=definition.summary,
        inputs=definition.inputs,
        parameters=definition.parameters,
        outputs=definition.outputs,
        step=definition.step,
        state_size=definition.state_size,
        warmup=definition.warmup,
    )
