"""Runs the twelve indicators of JTS: python jts_indicators.py CASE FILE REPEATS CACHE [fused].

Steps are written out and compiled as a backtest does with those of a strategy; what leaves each
row is the values. Each alone, in a pass of its own, or (fused) all of them in one pass.
"""

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from measured import Outcome, median_seconds
from twelve import CASES, Answer, Bars, keep_values, measure_each, read_bars

from jts_trading.dsl.lowering import VALUES, lower_step
from jts_trading.dsl.pasting import function_text
from jts_trading.indicators.catalog import NATIVE
from jts_trading.indicators.definition import Definition, ParameterKind
from jts_trading.kernels.loader import load

_COLUMNS = {"open": "open_"}


def main() -> None:
    """Measure one way."""
    _, _case, path, repeats, cache, *mode = sys.argv
    bars = read_bars(path)
    if mode:
        run, columns = compiled(tuple(CASES), bars, cache)

        def timed() -> Outcome:
            run()
            return Outcome(0, 0.0)

        seconds, _ = median_seconds(timed, int(repeats))
        keep_values("jts-fused", list(columns.T), {"all": seconds}, seconds, cache)
        return
    calls = {name: _alone(name, bars, cache) for name in CASES}
    measure_each("jts", calls, len(bars.close), int(repeats), cache)


def _alone(name: str, bars: Bars, cache: str) -> Callable[[], Answer]:
    run, columns = compiled((name,), bars, cache)

    def call() -> Answer:
        run()
        return tuple(columns.T)

    return call


def compiled(
    names: tuple[str, ...], bars: Bars, cache: str
) -> tuple[Callable[[], None], np.ndarray]:
    """Return a pass over the bars that computes indicators, and the array that it fills."""
    texts: dict[str, str] = {}
    lines, kept, at = [], [], 0
    for name in names:
        definition = NATIVE.definitions[name]
        for function in (*definition.uses, definition.step):
            texts[function.__name__] = function_text(function)
        results = [f"r{len(kept) + place}" for place in range(len(definition.outputs))]
        lines.append(f"{', '.join(results)} = {_call(definition, CASES[name], at)}")
        kept += _divided(definition, CASES[name], results)
        at += definition.state_size(_exact(CASES[name]))
    lines += [f"state[{at + place}] = {text}" for place, text in enumerate(kept)]
    source = "\n\n\n".join(
        (
            "import math",
            *texts.values(),
            f"def init_state(state, price_scale=1.0):\n    state[0:{at + len(kept)}] = 0.0",
            "def step(state, open_, high, low, close, volume, tf_closed, session):\n    "
            + "\n    ".join((*lines, "return 0")),
        )
    )
    module = load(lower_step(source, (VALUES,), (at, len(kept))), Path(cache), allocates=False)
    return _bound(module, bars, at + len(kept), len(kept))


def _bound(
    module: object, bars: Bars, size: int, outputs: int
) -> tuple[Callable[[], None], np.ndarray]:
    rows = len(bars.close)
    # As a backtest holds them: prices side by side in the narrowest type.
    prices = np.stack(bars[:4], axis=1).astype(np.int32)
    columns, masks = np.empty((rows, outputs)), np.zeros(rows, np.uint8)
    given = (
        *(prices, bars.volume.astype(np.int32), np.zeros(0, np.uint8)),
        *(np.arange(rows, dtype=np.int32), np.zeros(1, np.int64), bars.session),
        *(np.array([0, rows]), np.ones(1), np.zeros(size), masks, 0, 1, columns),
    )
    return lambda: module.run_rows(*given), columns


def _exact(settings: dict[str, float]) -> dict[str, Fraction]:
    return {name: Fraction(value) for name, value in settings.items()}


def _call(definition: Definition, settings: dict[str, float], at: int) -> str:
    values = [
        repr(float(settings[p.name]))
        if p.kind is ParameterKind.NUMBER
        else str(int(settings[p.name]))
        for p in definition.parameters
    ]
    columns = [_COLUMNS.get(name, name) for name in definition.inputs]
    return f"{definition.step.__name__}({', '.join(('state', str(at), *values, *columns))})"


def _divided(definition: Definition, settings: dict[str, float], results: list[str]) -> list[str]:
    """Return the outputs as numbers: exact ones are held as a sum and its divisor."""
    divisors = [o.divisor(_exact(settings)) if o.divisor else 1 for o in definition.outputs]
    return [
        result if divisor == 1 else f"{result} / {float(divisor)}"
        for result, divisor in zip(results, divisors, strict=True)
    ]


main()
