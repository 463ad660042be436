"""No text costs more than a bounded amount of work, whatever it says.

The promise is a tenth of a second for texts up to 64 KiB. A busy machine cannot be timed, so calls
are counted: a machine of today makes several millions of them in that time.
"""

import sys
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jts_trading.dsl.compiler import compile_strategy, trace_strategy
from jts_trading.dsl.errors import StrategyError
from jts_trading.dsl.formatting import format_text
from jts_trading.dsl.grammar import TEXT_BYTES_MAX

CALLS_MAX = 600_000


def calls_of(deed: Callable[[str], object], text: str) -> int:
    """Return how many functions were called while a text was taken or refused."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        with suppress(StrategyError):
            deed(text)
    finally:
        sys.setprofile(before)
    return count


def entry(condition: str, action: str = "buy(1)", before: str = "") -> str:
    """Return a strategy of one rule."""
    return f'strategy("T") {{ {before} entry.long {{ when ({condition}) {{ {action} }} }} }}'


def each(pattern: str, count: int, join: str = " ") -> str:
    """Return a pattern with numbers in it, many times."""
    return join.join(pattern.replace("#", str(i)) for i in range(1, count + 1))


RULES = "strategy('T') { BEFORE entry.long { RULES } }".replace("'", '"')
TEXTS = {
    "nested calls": entry("SMA(" * 14 + "close" + ", 3)" * 14 + " > 1"),
    "nested ranks": entry("rank(" * 14 + "close" + ", 3)" * 14 + " > 1%"),
    "alternatives": entry(each("close > #", 450, " or ")),
    "rules": RULES.replace("BEFORE", "").replace(
        "RULES", each("when (close crosses above open + # and high > low * #) { buy(1) }", 62)
    ),
    "orders": entry(each("close > #", 300, " or "), "buy(1) " * 62),
    "universe": RULES.replace(
        "BEFORE", f"universe {{ {each('close > #', 250)} }} require quality"
    ).replace("RULES", each("when (open > #) { buy(1) }", 62)),
    "indicators": entry(
        each("a#.upper > close", 60, " and "),
        before=f"indicators {{ {each('a# = Bollinger(period: 1#)', 60)} }}",
    ),
    "guards": 'strategy("T") { exit.long { '
    + each("when (position.profit > #% and (close > # or position.bars > #)) { close() }", 60)
    + " } }",
    "histories": entry(each("close[#] > open[#]", 120, " and ")),
    "parameters": entry(
        "close > p1", before=f"params {{ {each('p# = # in 0..999 step 1', 280)} }}"
    ),
    "constants": entry("close > " + " * ".join(["1.000000000000001"] * 600)),
    "comments": entry("close > 1", before="// x\n" * 12_000),
    "names": entry(
        "x" * 60 + " > 1", before=f"indicators {{ {each('y' * 50 + '# = close', 600)} }}"
    ),
    "cycle": entry("a1 > 1", before=f"indicators {{ {each('a# = a1# + a2#', 600)} }}"),
    "sessions": entry(each("since(close > session.open + #) > 2", 150, " and ")),
    "words": entry(each("time > 09:30 and position.age > #m and quality", 200, " or ")),
    "texts": entry(" and ".join(['"5%" > "3%"'] * 500)),
    "brackets": "(" * 65_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_when_made_to_be_slow_then_work_is_bounded(name: str) -> None:
    """Compiling, tracing and formatting each stay inside the bound."""
    text = TEXTS[name]
    assert len(text) <= TEXT_BYTES_MAX

    for deed in (compile_strategy, trace_strategy, format_text):
        assert calls_of(deed, text) < CALLS_MAX, deed


PIECES = st.sampled_from(
    [
        *(
            "close > open and ",
            "not ",
            "(",
            "SMA(",
            "rank(close, ",
            "since(",
            "close[1]",
            "+ 5 * ",
        ),
        *(
            "a = close ",
            "on d { a = SMA(3) } ",
            "when (close > 1) { buy(1) } ",
            "position.profit ",
        ),
        *('"5%" ', "09:30 ", "1_000 KRW ", "// x\n", "{ a: 1 } ", "require quality ", "}", ", "),
        *(
            "MACD(fast: 3, slow: 9, signal: 3).line ",
            "crosses above ",
            "between [1, 2] ",
            "가",
            "#\n",
        ),
    ]
)
WRAPPERS = (
    "{}",
    entry("{}"),
    entry("close > 1", "{}"),
    entry("close > 1", before="indicators {{ {} }}"),
    entry("close > 1", before="universe {{ {} }}"),
    'strategy("T") {{ entry.long {{ {} }} }}',
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(WRAPPERS),
    st.lists(PIECES, min_size=1, max_size=5),
    st.integers(1, 20_000),
)
def test_any_repetition_when_compiled_then_work_is_bounded(
    wrapper: str, pieces: list[str], times: int
) -> None:
    """What repeats until the size limit is taken or refused with bounded work."""
    inside = "".join(pieces) * times
    text = wrapper.replace("{{", "{").replace("}}", "}").replace("{}", inside, 1)
    text = text[: TEXT_BYTES_MAX // 3]

    assert calls_of(compile_strategy, text) < CALLS_MAX
    assert calls_of(format_text, text) < CALLS_MAX


def test_text_when_over_the_size_then_refused_without_reading_it() -> None:
    """A larger text is refused by its size alone."""
    text = entry("close > 1", before="// " + "x" * TEXT_BYTES_MAX)

    assert calls_of(compile_strategy, text) < 100
    with pytest.raises(StrategyError, match="the limit is 65,536"):
        compile_strategy(text)
