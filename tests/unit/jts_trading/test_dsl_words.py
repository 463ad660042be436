"""Words that the language brings along: clock, session, account, since, rank; and the guard."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from jts_trading.dsl import grammar
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.facts import FACTS, FACTS_SIZE, SCALE_FACT
from jts_trading.dsl.grammar import Measure
from jts_trading.dsl.normal import value_text
from jts_trading.dsl.plan import Plan, Universe
from jts_trading.strategy.live import live_refusal, plan_notes, require_live
from jts_trading.strategy.universe import admits, describe, selects


def strategy(condition: str, order: str = 'buy("5%")', *, side: str = "entry.long") -> Plan:
    """Compile a strategy of one rule."""
    return compile_strategy(f'strategy("T") {{ {side} {{ when ({condition}) {{ {order} }} }} }}')


def space_of(source: str) -> dict[str, Any]:
    """Run generated source as plain Python."""
    space: dict[str, Any] = {}
    exec(source, space)  # noqa: S102 - the generator's own output, under test
    return space


def fired(plan: Plan, closes: list[float], **columns: list[float]) -> list[int]:
    """Return the masks over bars whose four prices are equal."""
    space, row = space_of(plan.source), np.zeros(plan.state_size)
    space["init_state"](row, 1.0)
    extra = [name for name in plan.needs if name in grammar.EXTRA_COLUMNS]
    return [
        space["step"](row, c, c, c, c, 1.0, 0, *(columns[n][i] for n in extra))
        for i, c in enumerate(closes)
    ]


def test_since_when_condition_was_true_then_bars_are_counted() -> None:
    """0 on the bar itself, null before the first, null and false bars count alike."""
    plan = strategy("since(close > 5) == 2")

    assert fired(plan, [1, 6, 1, 1, 1, 6, 6, 1, 1]) == [0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert fired(strategy("since(close > 5) >= 0"), [1, 6, 1]) == [0, 1, 1]


def test_condition_when_asked_for_its_past_then_what_it_was() -> None:
    """Null before there is one; a crossing of the past happened on that bar."""
    closes = [1, 3, 2, 4, 5, 5, 1]

    assert fired(strategy("(close > close[1])[1]"), closes) == [0, 0, 1, 0, 1, 1, 0]
    assert fired(strategy("(not (close > close[1] or close > 4))[2]"), closes) == [
        *(0, 0, 0, 0, 1, 0, 0)
    ]
    assert fired(strategy("(close crosses above 2)[1]"), closes) == [0, 0, 1, 0, 1, 0, 0]
    assert fired(strategy("(close between [2, 4])[1] and close > 4"), closes) == [
        *(0, 0, 0, 0, 1, 0, 0)
    ]


def test_past_of_a_condition_when_it_is_of_a_coarser_frame_then_by_where_it_is_written() -> None:
    """By its name it is of the frame's own bars, in parentheses of the bars outside."""
    text = """strategy("Frames") {
      timeframes { day = "1d"  hour = "1h" }
      indicators { on day { up = close > open  turn = close crosses above open } }
      entry.long { when (PAST and hour.close > 1) { buy(1) } }
    }"""

    def frames_of(condition: str) -> list[str]:
        plan = compile_strategy(text.replace("PAST", condition))
        return [node.frame for node in plan.nodes if "[1]" in node.text]

    assert frames_of("day.up[1]") == frames_of("day.turn[1]") == ["day", "day"]
    assert frames_of("(not day.up)[1]") == ["hour", "hour"]
    with pytest.raises(StrategyError, match="a crossing on the bars of another time frame"):
        frames_of("(not day.turn)[1]")


def test_choices_when_compared_then_one_of_their_values_and_null_with_null() -> None:
    """Exactly: a tie of whole prices stays one, and percentages go with percentages."""
    closes = [5, 3, 4, 9]

    assert fired(strategy("greatest(close, 4) == 4"), closes) == [0, 1, 1, 0]
    assert fired(strategy("least(close, close[1], 4) == 3"), closes) == [0, 1, 1, 0]
    assert fired(strategy("abs(close - close[1]) == 2"), closes) == [0, 1, 0, 0]
    assert fired(strategy("abs(-close + 4) >= 5"), closes) == [0, 0, 0, 1]
    assert fired(strategy("greatest(SMA(2), SMA(4)) == SMA(2)"), [1, 1, 1, 1]) == [0, 0, 0, 1]
    assert fired(strategy("price_change(1) > least(greatest(10%, 20%), 50%)"), closes) == [
        *(0, 0, 1, 1)
    ]


def test_choice_when_a_parameter_is_in_it_then_any_value_is_taken() -> None:
    """Constants are chosen while compiling, whatever a sweep puts in."""
    text = """strategy("T") { params { n = 2 in 1..9 }
      entry.long { when (SMA(greatest(n, 3)) > 0) { buy(abs(n - 5)) } } }"""

    found = [compile_strategy(text, params={"n": n}).warmup_bars for n in ("2", "7")]

    assert [list(each.values()) for each in found] == [[3], [7]]


def test_rank_when_compared_then_share_of_the_values_before() -> None:
    """rank(x, n) is the share of the n values before this one that were below it."""
    plan = strategy("rank(close, 4) >= 75%")

    assert fired(plan, [1, 2, 3, 4, 5, 3.5, 0, 9]) == [0, 0, 0, 0, 1, 0, 0, 1]
    scaled = strategy("rank(close / 1.05, 4) >= 75% and Psychological(2, source: close / 7) > 40")
    assert fired(scaled, [1, 2, 3, 4, 5, 3.5, 0, 9]) == [0, 0, 0, 0, 1, 0, 0, 1]


def test_inputs_when_given_first_then_as_by_name() -> None:
    """highest(high, 3) is Highest(period: 3, source: high)."""
    for first, named in (
        ("highest(high, 3)", "Highest(period: 3, source: high)"),
        ("SMA(open, 5)", "SMA(5, source: open)"),
        ("change(low, 2)", "MOM(period: 2, source: low)"),
    ):
        one, other = strategy(f"{first} > 1"), strategy(f"{named} > 1")
        assert one.source == other.source


def test_clock_when_asked_then_arguments_of_the_step() -> None:
    """`time`, `minutes_since_open` and `auction` are columns of the instant."""
    plan = strategy(
        "time between [09:30, 15:00] and minutes_since_open >= 31 and not auction "
        "and time - 09:30 < 2h and time + 5m > 09:36"
    )

    assert plan.needs == ("minutes_since_open", "time", "auction")
    clock = [9 * 3600 + 30 * 60 + m * 60 for m in range(4)]
    columns = {"time": clock, "minutes_since_open": [30, 31, 32, 33], "auction": [0, 0, 0, 1]}
    assert fired(plan, [1, 1, 1, 1], **columns) == [0, 0, 1, 0]


def test_session_words_when_compared_then_values_of_the_day() -> None:
    """`session.open` is the first price of the trading day, whatever was traded before."""
    plan = strategy("close > session.open and session.high > session.previous_close")

    masks = fired(plan, [1, 2, 3, 5, 4, 6], session=[1, 1, 1, 2, 2, 2])

    assert masks == [0, 0, 0, 0, 0, 1]


def test_money_when_compared_then_like_a_price_and_named_in_the_plan() -> None:
    """Amounts go with prices and turnover; the plan says in which currency."""
    plan = strategy("close * volume > 1_000 KRW * 2 and close > 100_000 KRW / 50")

    assert plan.currency == "KRW"
    assert fired(plan, [2000, 2001]) == [0, 1]
    assert strategy("close > 5").currency == ""


def test_percent_when_added_to_a_price_then_refused_but_scaling_is_not() -> None:
    """Percentages scale."""
    assert fired(strategy("close > open * (1 + 5%) - 1"), [3]) == [1 if 3 > 3 * 1.05 - 1 else 0]


FACT_VALUES = {
    "position.quantity": 3.0,
    "position.value": 3300.0,
    "position.entry_price": 1000.0,
    "position.profit": 0.1,
    "position.highest": 1200.0,
    "position.bars": 4.0,
    "position.age": 240.0,
    "position.entries": 2.0,
    "portfolio.equity": 100_000.0,
    "portfolio.cash": 50_000.0,
    "portfolio.positions": 2.0,
    "portfolio.exposure": 0.033,
    "portfolio.day_profit": -0.01,
}


def facts(plan: Plan, **changed: float) -> np.ndarray:
    """Return a row of facts with the constants of a guard behind them."""
    row = np.concatenate((np.full(FACTS_SIZE, math.nan), plan.guard_constants))
    row[SCALE_FACT] = changed.pop("scale", 1.0)
    for (root, name), word in FACTS.items():
        row[word.place] = changed.get(f"{root}_{name}", FACT_VALUES[f"{root}.{name}"])
    return row


@pytest.mark.parametrize("word", FACT_VALUES)
def test_fact_when_guarded_then_read_from_its_place(word: str) -> None:
    """Every word of the account can be compared with what it measures."""
    unit = "s" if word == "position.age" else ""
    value = FACT_VALUES[word]
    threshold = (
        f"{value * 100:g}%" if word.endswith(("profit", "exposure")) else f"{value:g}{unit}"
    )
    threshold = threshold.replace("100000", "100_000")
    plan = strategy(
        f"{word} >= {threshold.lstrip('-')} or {word} < 0{unit}", "close()", side="exit.long"
    )
    guard = space_of(plan.guard)["guard"]

    assert plan.rules[0].is_guarded
    assert guard(1, np.zeros(plan.values), facts(plan)) == 1
    nothing = np.full(FACTS_SIZE + len(plan.guard_constants), math.nan)
    assert guard(1, np.zeros(plan.values), nothing) == 0


def test_position_words_when_positions_pyramid_then_entries_may_ask_for_them() -> None:
    """While flat they are null and the rule does not fire; one entry alone refuses them."""
    text = """strategy("T") {
      entry.long { when (close > 5 and position.profit > 1%) { buy(1) } }
      risk_management { pyramiding = NUMBER }
    }"""
    plan = compile_strategy(text.replace("NUMBER", "3"))
    guard = space_of(plan.guard)["guard"]

    assert plan.risk.pyramiding == 3
    assert guard(1, np.zeros(plan.values), facts(plan, position_profit=0.02)) == 1
    assert guard(1, np.zeros(plan.values), facts(plan, position_profit=math.nan)) == 0
    with pytest.raises(StrategyError, match="while there is no position"):
        compile_strategy(text.replace("NUMBER", "1"))


@pytest.mark.parametrize(
    ("number", "given"), [("most", {}), ("most", {"most": "1"}), ("most * 1", {"most": "1"})]
)
def test_position_words_when_pyramiding_follows_from_a_parameter_then_any_value_is_accepted(
    number: str, given: dict[str, str]
) -> None:
    """A set with 1 is the same program: the rule does not fire while flat."""
    text = f"""strategy("T") {{
      params {{ most = 2 in 1..3 }}
      entry.long {{ when (close > 5 and position.profit > 1%) {{ buy(1) }} }}
      risk_management {{ pyramiding = {number} }}
    }}"""
    plan = compile_strategy(text, params=given)
    guard = space_of(plan.guard)["guard"]

    assert plan.risk.pyramiding == int(given.get("most", 2))
    assert guard(1, np.zeros(plan.values), facts(plan, position_profit=math.nan)) == 0


def test_condition_when_mixed_then_split_at_its_and() -> None:
    """The mask holds what bars decide; the guard the rest; values of bars are handed over."""
    plan = strategy(
        "close > 5 and (position.profit > 5% or close < close[1]) and not (position.bars < 3)",
        "close()",
        side="exit.long",
    )
    space, row = space_of(plan.source), np.zeros(plan.state_size)
    space["init_state"](row, 1.0)
    guard = space_of(plan.guard)["guard"]
    masks = []
    for close, changed in (
        (6.0, {"position_profit": 0.01}),
        (4.0, {}),
        (7.0, {}),
        (6.5, {"position_profit": 0.0}),
        (6.4, {"position_bars": 2.0}),
        (6.3, {"position_bars": math.nan}),
    ):
        mask = space["step"](row, close, close, close, close, 1.0, 0)
        values = row[plan.values_slot : plan.values_slot + plan.values].copy()
        masks.append((mask, guard(mask, values, facts(plan, **changed))))

    assert masks == [(1, 0), (0, 0), (1, 1), (1, 1), (1, 0), (1, 0)]


def test_prices_when_they_need_the_account_then_the_guard_leaves_them() -> None:
    """A take-profit limit above the entry price, a stop below it, in price units."""
    plan = strategy(
        "position.quantity > 0",
        'sell("all", type: "stop_limit", price: position.entry_price + 50, stop: close * 0.5)',
        side="exit.long",
    )
    (rule,) = plan.rules
    values = np.array([0.0, 500.0])

    assert space_of(plan.guard)["guard"](1, values, facts(plan, scale=10.0)) == 1
    assert (values[rule.limit], values[rule.stop]) == (1500.0, 500.0)


UNIVERSE = """strategy("T") {
  universe {
    market = ["kospi", "KOSDAQ"]
    exclude = "005930"
    close > 10
  }
  require quality
  entry.long { when (close > close[2] and portfolio.positions < 3) { buy("5%") } }
  exit.long { when (not quality) { close() } }
}"""


def test_universe_when_written_then_every_entry_needs_it() -> None:
    """Conditions of the universe and of quality are part of entries, not of exits."""
    plan = compile_strategy(UNIVERSE)
    closes, doubt = [11, 12, 13, 14, 15, 16, 9, 10, 11], [0, 0, 0, 0, 1, 0, 0, 0, 0]

    masks = fired(plan, closes, doubt=doubt)

    assert plan.universe.markets == ("KOSPI", "KOSDAQ")
    assert plan.universe.excluded == ("005930",)
    assert plan.universe.conditions == ("close > 10",)
    assert masks == [0, 0, 1, 1, 2, 0, 0, 0, 1]
    assert compile_strategy(plan.normalised).digest == plan.digest


def test_instruments_when_compared_with_the_universe_then_admitted_or_not() -> None:
    """By listing market, kind, symbol or id; an exclusion wins."""
    universe = compile_strategy(UNIVERSE).universe
    chosen = Universe(assets=("ETF",), symbols=("069500", "KRX:114800"))

    assert admits(universe, "KRX:000660", "KOSPI", "COMMON")
    assert not admits(universe, "KRX:005930", "KOSPI", "COMMON")
    assert not admits(universe, "KRX:000660", "KONEX", "COMMON")
    assert admits(chosen, "KRX:069500", "KOSPI", "ETF")
    assert admits(chosen, "KRX:114800", "KOSPI", "ETF")
    assert not admits(chosen, "KRX:069500", "KOSPI", "COMMON")
    assert not admits(chosen, "KRX:000660", "KOSPI", "ETF")
    assert (selects(chosen), selects(Universe())) == (True, False)
    assert describe(chosen) == "asset ETF; symbols 069500, KRX:114800"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            'close > 1) { buy(1, type: "stop", stop: close, tif: "ioc") }',
            "stops are held for the day or until cancelled; found ioc",
        ),
        ('close > 1) { buy(1, broker: "creon") }', "this instance trades through kis"),
        ("close > 1 USD) { buy(1) }", "amounts are in USD; this instance trades in KRW"),
    ],
)
def test_construct_when_live_does_not_do_it_then_refused(text: str, reason: str) -> None:
    """What is asked for is never left out quietly."""
    plan = compile_strategy(f'strategy("T") {{ entry.long {{ when ({text} }} }}')

    with pytest.raises(StrategyError, match=reason):
        require_live(plan, broker="kis", currency="KRW")


def test_plan_when_live_can_do_all_of_it_then_no_refusal() -> None:
    """Clock, spread, quality, account, fastest broker."""
    plan = strategy(
        "time > 09:10 and spread < 5% and quality",
        "execute_immediately({ broker: select_fastest_broker() })",
    )

    require_live(plan, broker="kis", currency="KRW")
    assert live_refusal(plan) == ""
    assert plan_notes(plan) == ()


def test_notes_when_drivers_read_a_construct_in_their_own_way_then_said() -> None:
    """Sources, named brokers and short rules are not silently taken for something else."""
    plan = compile_strategy(
        'strategy("T") { sources { kis: symbols[0..9] } '
        'entry.long { when (close > 1) { buy(1, broker: "kis") } } '
        "entry.short { when (close < 1) { sell(1) } } }"
    )

    notes = plan_notes(plan)

    assert [note.split(":")[0].split(";")[0] for note in notes] == [
        "short-selling is off",
        "sources stay in the plan",
        "orders through kis",
    ]


def test_guard_when_only_numbers_differ_then_its_text_is_the_same() -> None:
    """A sweep over the numbers of a condition compiles one portfolio."""
    text = "position.profit > {} and close < SMA({}) * {}"
    plans = [
        strategy(text.format(*numbers), "close()", side="exit.long")
        for numbers in (("5%", 20, "1.5"), ("7%", 30, "2.5"))
    ]

    assert plans[0].guard == plans[1].guard
    assert plans[0].guard_constants == (0.05,)
    assert plans[1].guard_constants == (0.07,)
    assert plans[0].digest != plans[1].digest


@pytest.mark.parametrize(
    ("measure", "value", "text"),
    [
        (Measure.PERCENT, Fraction(2, 25), "8%"),
        (Measure.NUMBER, Fraction(3, 2), "1.5"),
        (Measure.DURATION, Fraction(300), "5m"),
        (Measure.TIME, Fraction(34_200), "09:30"),
        (Measure.MONEY, Fraction(1_000_000), "1000000 KRW"),
    ],
)
def test_value_of_a_parameter_when_shown_then_as_it_is_written(
    measure: Measure, value: Fraction, text: str
) -> None:
    """On pages and in documents, whatever it measures."""
    currency = "KRW" if measure is Measure.MONEY else ""
    assert value_text(measure, value, currency) == text
