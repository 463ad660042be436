"""What texts compile to: the listings of the seeds, identity, generality, safety of the source."""

import ast
import importlib.util
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from jts_trading.dsl import grammar
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.explain import explain
from jts_trading.dsl.grammar import ActionName, Block, OrderType, Side, Word
from jts_trading.dsl.lexer import read_text
from jts_trading.dsl.normal import normalise
from jts_trading.dsl.parser import parse
from jts_trading.dsl.plan import Plan, Quantity, QuantityKind, RiskBlock, SourceRange, Timeframe
from jts_trading.dsl.template import template

EXAMPLES = Path(__file__).parents[3] / "examples" / "strategies"


def listing(name: str) -> Plan:
    """Compile one of the user's listings, verbatim."""
    return compile_strategy((EXAMPLES / f"{name}.jts").read_bytes(), file=f"{name}.jts")


def strategy(condition: str, before: str = "") -> str:
    """Return a strategy of one rule."""
    return f'strategy("T") {{ {before} entry.long {{ when ({condition}) {{ buy("5%") }} }} }}'


def fired(plan: Plan, closes: list[float], **columns: list[float]) -> list[int]:
    """Run the generated source as plain Python on bars."""
    space: dict[str, object] = {}
    exec(plan.source, space)  # noqa: S102 - the generator's own output, under test
    state = [0.0] * plan.state_size
    # The generated initialisation writes ranges, which a list takes as repeated values.
    import numpy as np

    row = np.array(state)
    space["init_state"](row, columns.pop("scale", [1.0])[0])
    extra = [name for name in plan.needs if name in grammar.EXTRA_COLUMNS]
    step = space["step"]
    return [
        step(row, c, c, c, c, columns.get("volume", closes)[i], 0, *(columns[n][i] for n in extra))
        for i, c in enumerate(closes)
    ]


def test_first_listing_when_compiled_then_two_market_rules() -> None:
    """E09: 5 % of equity in, everything out, both at market."""
    plan = listing("sma_crossover")

    entry, leave = plan.rules
    assert (entry.bit, entry.side, entry.action) == (0, Side.ENTRY_LONG, ActionName.BUY)
    assert entry.quantity == Quantity(QuantityKind.PERCENT, Decimal("0.05"))
    assert (leave.bit, leave.side, leave.action) == (1, Side.EXIT_LONG, ActionName.SELL)
    assert leave.quantity == Quantity(QuantityKind.ALL)
    assert {rule.order_type for rule in plan.rules} == {OrderType.MARKET}
    assert (plan.base_interval, plan.timeframes, plan.needs) == (None, (), ("close",))
    assert plan.warmup_bars == {"base": 51}


def test_second_listing_when_compiled_then_frames_kelly_and_risk() -> None:
    """E10: hourly bars decide, days are seen once closed; the risk block has three limits."""
    plan = listing("multi_timeframe_momentum")

    assert plan.base_interval == "1h"
    assert plan.timeframes == (Timeframe("daily", "1d", 86_400),)
    assert plan.rules[0].quantity == Quantity(QuantityKind.KELLY)
    assert plan.risk == RiskBlock(
        max_position_size=Decimal("0.2"),
        trailing_stop=Decimal("0.03"),
        daily_loss_limit=Decimal("0.05"),
    )
    assert plan.warmup_bars == {"hourly": 15, "daily": 50}


def test_third_listing_when_compiled_then_sources_broker_and_spread() -> None:
    """E11: three ranges of symbols, one immediate order through the fastest broker."""
    plan = listing("surge_scanner")

    assert plan.sources == (
        SourceRange("creon", 0, 600),
        SourceRange("kis_account_1", 601, 1200),
        SourceRange("kis_account_2", 1201, 1800),
    )
    (rule,) = plan.rules
    assert (rule.action, rule.broker) == (ActionName.EXECUTE, "fastest")
    assert rule.quantity == Quantity(QuantityKind.KELLY)
    assert plan.needs == ("close", "volume", "spread")
    assert plan.base_interval == "1m"


def test_third_listing_when_surge_lasts_then_fires_once() -> None:
    """A surge fires on the minute on which it starts and not again before it has ended."""
    plan = listing("surge_scanner")
    closes = [10_000.0] * 25 + [10_300.0, 10_301.0, 10_302.0, 10_302.0, 10_000.0] + [10_700.0]
    volume = [100.0] * 25 + [200.0, 900.0, 900.0, 100.0, 100.0] + [5_000.0]

    bits = fired(plan, closes, volume=volume, spread=[0.001] * 31)
    wide = fired(plan, closes, volume=volume, spread=[0.005] * 31)

    # 10,300 is exactly 3 % and 200 exactly twice the mean: neither is above.
    assert [i for i, mask in enumerate(bits) if mask] == [26, 30]
    assert not any(wide)


LAYOUTS = [
    lambda text: text.replace("\n", "\n\n  "),
    lambda text: "// a comment\n" + text.replace("{", "{ # another\n"),
    lambda text: text.replace("\n", "\r\n"),
    lambda text: text.replace("crosses", "CROSSES").replace(" AND", " and"),
]


@pytest.mark.parametrize("name", ["sma_crossover", "multi_timeframe_momentum", "surge_scanner"])
@pytest.mark.parametrize("change", range(len(LAYOUTS)))
def test_digest_when_only_layout_changes_then_stable(name: str, change: int) -> None:
    """Whitespace, comments, line ends and the case of words are not part of the identity."""
    text = (EXAMPLES / f"{name}.jts").read_text(encoding="utf-8")

    assert compile_strategy(LAYOUTS[change](text)).digest == compile_strategy(text).digest


def test_digest_when_meaning_changes_then_different() -> None:
    """A period, a parameter's value or an order of definitions is another strategy."""
    before = "params { n = 3 in 1..9 }"
    text = strategy("SMA(n) > 1", before)

    digests = {
        compile_strategy(text).digest,
        compile_strategy(text, params={"n": "4"}).digest,
        compile_strategy(text.replace("> 1", ">= 1")).digest,
    }

    assert len(digests) == 3
    assert compile_strategy(text, params={"n": "3"}).digest == compile_strategy(text).digest


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.jts")), ids=lambda p: p.stem)
def test_normalised_text_when_parsed_again_then_the_same(path: Path) -> None:
    """The normal form is a text of the language and its own normal form."""
    plan = compile_strategy(path.read_bytes())

    assert normalise(parse(read_text(plan.normalised, "n"))) == plan.normalised
    assert compile_strategy(plan.normalised).digest == plan.digest


def test_template_when_written_then_compiles() -> None:
    """`jts strategy new` writes a text that is accepted, whatever the name."""
    for name in ("mine", "내 전략", '"); import os', ""):
        assert compile_strategy(template(name)).rules


def test_shared_expressions_when_equal_then_computed_once() -> None:
    """Equal calls, named or not, are one node with one state."""
    plan = compile_strategy(
        strategy("a > SMA(period: 20) or SMA(20) < b", "indicators { a = SMA(20) b = sma(20) }")
    )

    assert plan.source.count("sum_step(") == 2  # the definition and one call
    assert [n.text for n in plan.nodes].count("SMA(#0, period: 20)") == 1


def test_unused_indicator_when_no_rule_reads_it_then_not_computed() -> None:
    """Only what a rule needs takes time and state."""
    plan = compile_strategy(strategy("close > 1", "indicators { a = SMA(5000) }"))

    assert plan.state_size == 1
    assert "sma_step" not in plan.source


def test_prices_when_scaled_then_literals_are_currency() -> None:
    """With 100 price units per unit of currency `close > 5` means 500 units."""
    plan = compile_strategy(strategy("close > 5 and SMA(2) crosses above 5.5"))

    assert fired(plan, [500, 501, 700], scale=[100.0]) == [0, 0, 1]
    assert fired(plan, [500, 501, 700], scale=[1.0]) == [0, 0, 0]


def test_limit_order_when_fired_then_price_is_among_the_values() -> None:
    """The step leaves order prices in price units among the values, where the rule says."""
    text = 'strategy("T") { entry.long { when (close > 9) { buy(5, type: "stop-limit", '
    plan = compile_strategy(text + "price: close * 0.99, stop: close + 2) } } }")
    (rule,) = plan.rules
    space: dict[str, object] = {}
    exec(plan.source, space)  # noqa: S102 - the generator's own output, under test
    import numpy as np

    row = np.zeros(plan.state_size)
    space["init_state"](row, 100.0)

    assert space["step"](row, 1000.0, 1000.0, 1000.0, 1000.0, 1.0, 0) == 1
    assert (rule.order_type, rule.quantity.amount) == (OrderType.STOP_LIMIT, Decimal(5))
    values = row[plan.values_slot : plan.values_slot + plan.values]
    assert (values[rule.limit], values[rule.stop]) == (990.0, 1200.0)
    assert plan.guard == ""


def test_null_when_condition_is_undefined_then_nothing_fires() -> None:
    """`when` fires on true only; not null is null, null and false is false."""
    undefined = "close[9] > 1"
    for condition, mask in (
        (undefined, 0),
        (f"not ({undefined})", 0),
        (f"not ({undefined} and close < 0)", 1),
        (f"{undefined} or close > 0", 1),
        (f"{undefined} or close < 0", 0),
        ("close / (close - 7) > 0 or true", 1),
        ("close / (close - 7) > 0", 0),
        ("not (close / (close - 7) > 0)", 0),
        ("not (close crosses above 3)", 0),
    ):
        assert fired(compile_strategy(strategy(condition)), [7.0]) == [mask], condition


def test_quantities_when_written_differently_then_one_meaning() -> None:
    """Text and literal forms, signs of grouping and money are understood."""
    for text, expected in (
        ('"5%"', Quantity(QuantityKind.PERCENT, Decimal("0.05"))),
        ("2.5%", Quantity(QuantityKind.PERCENT, Decimal("0.025"))),
        ("1_000", Quantity(QuantityKind.SHARES, Decimal(1000))),
        ("1_000_000 KRW", Quantity(QuantityKind.MONEY, Decimal(1_000_000), "KRW")),
        ('"50 USDT"', Quantity(QuantityKind.MONEY, Decimal(50), "USDT")),
    ):
        order = f"entry.short {{ when (true) {{ sell(quantity: {text}) }} }}"
        plan = compile_strategy(f'strategy("T") {{ {order} }}')
        assert plan.rules[0].quantity == expected


def test_quantity_when_not_given_then_exit_closes_and_entry_takes_the_configured_size() -> None:
    """An exit without a quantity leaves the whole position."""
    entry = "entry.long { when (close > 1) { buy() } }"
    plan = compile_strategy(
        f'strategy("T") {{ {entry} exit.long {{ when (true) {{ close() }} }} }}'
    )

    assert [rule.quantity.kind for rule in plan.rules] == [QuantityKind.NONE, QuantityKind.ALL]


def test_params_when_declared_then_explained_with_range() -> None:
    """A sweep finds name, value, range and step."""
    plan = compile_strategy(strategy("SMA(n) > 1", "params { n = 20 in 5..50 step 5 }"))

    (parameter,) = plan.params
    assert (parameter.value, parameter.low, parameter.step) == (20, 5, Fraction(5))
    assert explain(plan)["params"][0]["high"] == "50"


HOSTILE = ['x\\"); import os; os.system(\\"', "x'); exit()", "{0}", "__import__", "%s", "a;b"]


@pytest.mark.parametrize("name", [*HOSTILE, "strategy-name-7"])
def test_source_when_text_holds_strange_names_then_none_gets_in(name: str) -> None:
    """IN12: the source holds identifiers and numbers of the compiler only."""
    text = strategy("mynamex > 1.5", "indicators { mynamex = SMA(3) }").replace('"T"', f'"{name}"')
    if name != "strategy-name-7":
        with pytest.raises(StrategyError):
            compile_strategy(text)
        text = text.replace(f'"{name}"', '"T"')

    plan = compile_strategy(text)

    assert name not in plan.source
    assert "mynamex" not in plan.source
    tree = ast.parse(plan.source)
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) is str]
    assert {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names} == {
        "math"
    }


def test_keywords_when_searched_then_only_the_grammar_spells_them() -> None:
    """No pass of the compiler knows a word of the language by its text."""
    words = {*Word, *Block, *ActionName, *grammar.RiskKey, *OrderType, grammar.KELLY_CALL}
    words |= {grammar.FASTEST_BROKER_CALL, grammar.SOURCE_RANGE, grammar.ALL_QUANTITY}
    # Words that name other things as well: a column, a parameter of a range, our own slots.
    words -= {"close", "step", "stop", "limit"}
    folder = Path(importlib.util.find_spec("jts_trading.dsl").submodule_search_locations[0])
    found = {
        (path.name, node.value)
        for path in folder.glob("*.py")
        if path.name not in {"grammar.py", "template.py"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in words
    }

    assert found == set()


def test_means_when_compared_then_cross_multiplied_not_divided() -> None:
    """Sums of 20 and 50 whole prices are compared as 5 and 2 times themselves."""
    body = listing("sma_crossover").source.partition("def step")[2]

    assert "/" not in body
    assert (body.count(" * 5.0"), body.count(" * 2.0")) == (2, 2)


@pytest.mark.parametrize(
    ("condition", "base"),
    [
        # Outside `on`, without the name of a frame: the finest one that is declared.
        ("close > daily.trend", "1m"),
        ("time > 09:30 and daily.close > daily.trend", "1m"),
        ("daily.close > daily.trend and RSI(5) > 50", "1m"),
        # All of one frame: the finest one that is used.
        ("daily.close > daily.trend", "1d"),
        ("daily.close > daily.trend and hourly.close > 5", "1h"),
        ("daily.close > daily.trend and portfolio.positions < 3", "1d"),
    ],
)
def test_base_when_bars_are_named_or_not_then_finest_used_or_declared(
    condition: str, base: str
) -> None:
    """A frame that is declared for plain words is not left out because nothing names it."""
    text = f"""strategy("Frames") {{
      timeframes {{ daily = "1d" minute = "1m" hourly = "1h" }}
      indicators {{ on daily {{ trend = SMA(5) }} }}
      entry.long {{ when ({condition}) {{ buy(calculate_kelly_criterion()) }} }}
    }}"""

    assert compile_strategy(text).base_interval == base
