"""A parameter set that fills a pattern has the plan that compiling it anew gives."""

from collections.abc import Callable, Mapping
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jts_trading.dsl.compiler import compile_strategy, read_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.patterns import Patterns
from jts_trading.dsl.plan import Plan
from jts_trading.indicators.catalog import NATIVE
from jts_trading.indicators.definition import Parameter, ParameterKind, setting_text

PARAMS = """params {
  m = 5 in 0..60 n = 9 in 0..60 f = 1.5 in -4..9 step 0.25 share = 7% d = 5m at = 10:30
}"""
BARS = st.sampled_from(
    ["m", "n", "m + n", "n - m", "2 * m", "m / 2 + m / 2", "n * n", "7", "m + 1"]
)
FACTORS = st.sampled_from(["f", "f * 2", "1 / f", "m", "n / m", "0.1", "f * m", "-f"])
SERIES = st.sampled_from(
    [
        *("close", "high - low", "close[{bars}]", "SMA(period: {bars})", "EMA({bars})"),
        *("SMA(period: {bars}, source: close * {factor})", "highest(high, {bars})"),
        *("HMA(period: {bars})", "Bollinger(period: {bars}, deviations: {factor}).upper"),
        *("ATR({bars}) * {factor}", "SMA(period: {bars}) / {factor} + close", "close * {factor}"),
        *("KST(roc1: {bars}).line", "EMA(period: {bars}, source: SMA(period: {bars}))"),
        *(
            "change(close, {bars})",
            "SMA(period: {bars}) - SMA(period: {bars})",
            "since(close > open)",
        ),
    ]
)
CONDITIONS = st.sampled_from(
    [
        *("{a} > {b}", "{a} crosses above {b}", "{a} between [{b}, {c}]", "{a} > {factor}"),
        *("RSI(period: {bars}) < {bars}", "{factor} > {factor}", "not ({a} < {b} * {factor})"),
        *("volume > avg_volume({bars})", "minutes_since_open > {bars}", "time > at", "{a} == {b}"),
        *(
            "price_change(d) > share",
            "rank(close, {bars}) > share",
            "close - {b} > open * {factor}",
        ),
    ]
)
GUARDS = st.sampled_from(
    ["position.profit > share * {factor}", "position.bars > {bars}", "{a} < close * {factor}"]
)
LIMITS = st.sampled_from(
    [
        *("", "stop_loss = share", "take_profit = share * 3 trailing_stop = share / 2"),
        *(
            "max_positions = n",
            "pyramiding = m",
            "cooldown = m max_positions = n + 1",
            "cooldown = d",
        ),
        *("max_position_size = share daily_loss_limit = share / 3", 'stop_loss = "2%"'),
    ]
)
QUANTITIES = st.sampled_from(["m", "share", '"20%"', "n * 3", "f", "share / 4", "m / 4"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return a text in which parameters stand wherever numbers may."""

    def written(pattern: str) -> str:
        series = {name: f"({draw(SERIES)})" for name in "abc" if "{" + name + "}" in pattern}
        whole = pattern.replace("{a}", series.get("a", "")).replace("{b}", series.get("b", ""))
        whole = whole.replace("{c}", series.get("c", ""))
        while "{bars}" in whole:
            whole = whole.replace("{bars}", draw(BARS), 1)
        while "{factor}" in whole:
            whole = whole.replace("{factor}", f"({draw(FACTORS)})", 1)
        return whole

    def condition() -> str:
        return written(draw(CONDITIONS))

    wide = draw(st.booleans())
    frames = 'timeframes { minute = "1m" wide = "5m" }' if wide else 'timeframes { minute = "1m" }'
    trend = f"on wide {{ trend = {written('SMA(period: {bars})')} }}" if wide else ""
    above = " and close > wide.trend" if wide else ""
    price = written('type: "limit", price: close * {factor}') if draw(st.booleans()) else ""
    quality = draw(st.sampled_from(["", "require quality", "require quality within 3"]))
    rank = written("rank by {a}") if draw(st.booleans()) else ""
    risk = f"risk_management {{ {draw(LIMITS)} }}"
    return (
        f'strategy("Made") {{ {PARAMS} {frames} {quality} {rank} indicators {{ {trend} }} '
        f"entry.long {{ when ({condition()} and {condition()}{above}) "
        f"{{ buy(quantity: {draw(QUANTITIES)}{', ' + price if price else ''}) }} }} "
        f"exit.long {{ when ({condition()}) {{ sell(quantity: {draw(QUANTITIES)}) }} "
        f'when ({written(draw(GUARDS))}) {{ sell(quantity: "all") }} }} {risk} }}'
    )


SETS = st.fixed_dictionaries(
    {},
    optional={
        "m": st.sampled_from([*(str(bars) for bars in range(13)), "61", "2.5"]),
        "n": st.integers(1, 12).map(str),
        "f": st.sampled_from(["-4", "0", "0.25", "1", "1.5", "2", "2.75", "9", "-0.5"]),
        "share": st.sampled_from(["0%", "5%", "7%", "100%", "130%", "2.5%"]),
        "d": st.sampled_from(["1m", "5m", "90s", "1h"]),
        "at": st.sampled_from(["09:01", "15:20"]),
    },
)


def outcome(compiled: Callable[[], Plan]) -> Plan | str:
    """Return a plan, or why there is none."""
    try:
        return compiled()
    except StrategyError as error:
        return str(error)


@settings(max_examples=120, deadline=None)
@given(texts(), st.lists(SETS, min_size=2, max_size=9))
def test_plans_when_filled_then_are_those_of_compiling_anew(
    text: str, sets: list[Mapping[str, str]]
) -> None:
    """Every part of the plan, or the same refusal, whatever was compiled before."""
    try:
        patterns = Patterns(read_strategy(text))
    except StrategyError as error:
        pytest.fail(str(error))

    for params in sets:
        filled = outcome(lambda params=params: patterns.member(params).plan)
        anew = outcome(lambda params=params: compile_strategy(text, params=params))

        assert filled == anew
    unknown = {"m": "3", "unknown": "1"}
    with pytest.raises(StrategyError, match='no parameter "unknown"'):
        patterns.member(unknown)


@pytest.mark.parametrize("name", sorted(NATIVE.definitions))
def test_indicators_when_their_numbers_are_parameters_then_plans_are_equal(name: str) -> None:
    """Sizes, warm-ups, divisors and constraints of every indicator are followed."""
    definition = NATIVE.definitions[name]
    swept = [p for p in definition.parameters if p.kind is not ParameterKind.DATE]
    declared = " ".join(f"p{k} = {_value(p, 0)}" for k, p in enumerate(swept))
    given = ", ".join(
        [f"{p.name}: p{k}" for k, p in enumerate(swept)]
        + [f'{p.name}: "2024-06-14"' for p in definition.parameters if p not in swept]
    )
    text = (
        f'strategy("One") {{ {f"params {{ {declared} }}" if swept else ""} '
        'timeframes { minute = "1m" } '
        f"indicators {{ x = {name}({given}) }} entry.long {{ when "
        f"(x{'.' + definition.outputs[-1].name if len(definition.outputs) > 1 else ''} > 0) "
        "{ buy(quantity: 1) } } }"
    )
    patterns = Patterns(read_strategy(text))
    plans = set()
    for shift in range(6):
        params = {f"p{k}": _value(p, shift) for k, p in enumerate(swept)}
        filled = outcome(lambda params=params: patterns.member(params).plan)

        assert filled == outcome(lambda params=params: compile_strategy(text, params=params))
        plans.add(filled.source if isinstance(filled, Plan) else filled)
    assert len(plans) > 1 or not swept


def _value(parameter: Parameter, shift: int) -> str:
    """Return a value of a parameter near its default, another one for every shift."""
    default = parameter.default if parameter.default is not None else Fraction(20)
    if parameter.kind is ParameterKind.NUMBER:
        step = (parameter.high - default) / 64
        return setting_text(
            ParameterKind.NUMBER, Fraction(round((default + step * shift) * 1000), 1000)
        )
    return str(int(default) + 2 * shift)


def test_patterns_of_a_grid_are_few() -> None:
    """Hundreds of sets are compiled once or twice, not hundreds of times."""
    text = """strategy("Few") {
      params { quick = 5 in 2..50 slow = 60 in 51..300 stretch = 1.5 in 0.5..3 size = 1 }
      indicators { range = ATR(period: quick) mean = SMA(period: slow) hull = HMA(period: quick) }
      entry.long { when (close > mean + stretch * range and close > close[quick]) {
        buy(quantity: size) } }
      exit.long { when (hull crosses below mean or position.profit > 3%) {
        sell(quantity: "all") } }
    }"""
    patterns = Patterns(read_strategy(text))
    members = [
        patterns.member({"quick": str(quick), "slow": str(slow), "stretch": stretch, "size": "20"})
        for quick in range(4, 24, 3)
        for slow in range(60, 200, 20)
        for stretch in ("0.75", "1.25", "2.5")
    ]

    # Whether a period divides another changes how means are compared.
    assert len({id(member.pattern) for member in members}) <= 6
    assert len({member.plan.digest for member in members}) == len(members)
