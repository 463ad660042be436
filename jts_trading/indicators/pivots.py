"""Pivots of the session before: levels that stand still for a whole session."""

import math

from jts_trading.indicators.definition import (
    OPEN_HIGH_LOW_CLOSE,
    SESSION,
    Definition,
    Output,
    State,
    Unit,
)


def session_step(
    state: State, at: int, open_: float, high: float, low: float, close: float, session: float
) -> bool:
    """Gather the session and keep the one before; return whether there is one.

    Slots: sessions seen up to 2, session, its open, high, low and close so far, then those of the
    session before.
    """
    if math.isnan(open_) or math.isnan(high) or math.isnan(low) or math.isnan(close):
        return False
    if state[at] == 0.0 or state[at + 1] != session:
        for i in range(at + 2, at + 6):
            state[i + 4] = state[i]
        state[at] = min(state[at] + 1.0, 2.0)
        state[at + 1] = session
        state[at + 2] = open_
        state[at + 3] = high
        state[at + 4] = low
    state[at + 3] = max(state[at + 3], high)
    state[at + 4] = min(state[at + 4], low)
    state[at + 5] = close
    return state[at] > 1.0


def previous_session_step(
    state: State, at: int, open_: float, high: float, low: float, close: float, session: float
) -> tuple[float, float, float, float]:
    """Return open, high, low and close of the session before.

    Formula: the first open, highest high, lowest low and last close of that session's bars

    Source: arithmetic.

    Null: in the first session.

    Slots: those of `session_step`.
    """
    if not session_step(state, at, open_, high, low, close, session):
        return math.nan, math.nan, math.nan, math.nan
    return state[at + 6], state[at + 7], state[at + 8], state[at + 9]


def session_so_far_step(
    state: State, at: int, open_: float, high: float, low: float, close: float, session: float
) -> tuple[float, float, float]:
    """Return open, high and low of this session up to this bar.

    Formula: the first open, highest high and lowest low of the session's bars so far

    Source: arithmetic.

    Slots: those of `session_step`.
    """
    session_step(state, at, open_, high, low, close, session)
    if math.isnan(open_) or math.isnan(high) or math.isnan(low) or math.isnan(close):
        return math.nan, math.nan, math.nan
    return state[at + 2], state[at + 3], state[at + 4]


def classic_pivots_step(
    state: State, at: int, open_: float, high: float, low: float, close: float, session: float
) -> tuple[float, float, float, float, float, float, float]:
    """Return the numerators of pivot, r1, r2, r3, s1, s2, s3.

    Formula: pivot = (H + L + C) / 3; r1 = 2 * pivot - L, s1 = 2 * pivot - H; r2 = pivot + H - L,
    s2 = pivot - H + L; r3 = 2 * pivot + H - 2 * L, s3 = 2 * pivot - 2 * H + L; H, L and C of the
    session before

    Source: floor traders; TradingView Pivot Points Standard, Traditional.

    Null: in the first session.

    Slots: those of `session_step`.
    """
    if not session_step(state, at, open_, high, low, close, session):
        return math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan
    h, l, c = state[at + 7], state[at + 8], state[at + 9]  # noqa: E741 - high and low
    p = h + l + c
    r1, s1 = 2.0 * p - 3.0 * l, 2.0 * p - 3.0 * h
    span = 3.0 * (h - l)
    return p, r1, p + span, r1 + span, s1, p - span, s1 - span


def fibonacci_pivots_step(
    state: State, at: int, open_: float, high: float, low: float, close: float, session: float
) -> tuple[float, float, float, float, float, float, float]:
    """Return pivot, r1, r2, r3, s1, s2, s3.

    Formula: pivot = (H + L + C) / 3; r1, r2, r3 = pivot + 0.382, 0.618, 1 times (H - L); s1, s2,
    s3 likewise below; H, L and C of the session before

    Source: TradingView Pivot Points Standard, Fibonacci.

    Null: in the first session.

    Slots: those of `session_step`.
    """
    if not session_step(state, at, open_, high, low, close, session):
        return math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan
    p = (state[at + 7] + state[at + 8] + state[at + 9]) / 3.0
    span = state[at + 7] - state[at + 8]
    near, far = 0.382 * span, 0.618 * span
    return p, p + near, p + far, p + span, p - near, p - far, p - span


def camarilla_pivots_step(
    state: State, at: int, open_: float, high: float, low: float, close: float, session: float
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Return pivot, r1 to r4, s1 to s4.

    Formula: pivot = (H + L + C) / 3; r1, r2, r3, r4 = C + 1.1 * (H - L) / 12, / 6, / 4, / 2; s1 to
    s4 likewise below; H, L and C of the session before

    Source: Nick Scott (1989); TradingView Pivot Points Standard, Camarilla.

    Null: in the first session.

    Slots: those of `session_step`.
    """
    if not session_step(state, at, open_, high, low, close, session):
        nothing = math.nan
        return nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing
    h, l, c = state[at + 7], state[at + 8], state[at + 9]  # noqa: E741 - high and low
    span = 1.1 * (h - l)
    one, two, three, four = span / 12.0, span / 6.0, span / 4.0, span / 2.0
    pivot = (h + l + c) / 3.0
    return pivot, c + one, c + two, c + three, c + four, c - one, c - two, c - three, c - four


def woodie_pivots_step(
    state: State, at: int, open_: float, high: float, low: float, close: float, session: float
) -> tuple[float, float, float, float, float]:
    """Return the numerators of pivot, r1, r2, s1, s2.

    Formula: pivot = (H + L + 2 * O) / 4; r1 = 2 * pivot - L, s1 = 2 * pivot - H; r2 = pivot + H -
    L, s2 = pivot - H + L; H and L of the session before, O the open of this one

    Source: Ken Wood; TradingView Pivot Points Standard, Woodie.

    Null: in the first session.

    Slots: those of `session_step`.
    """
    if not session_step(state, at, open_, high, low, close, session):
        return math.nan, math.nan, math.nan, math.nan, math.nan
    h, l = state[at + 7], state[at + 8]  # noqa: E741 - high and low
    p = h + l + 2.0 * state[at + 2]
    span = 4.0 * (h - l)
    return p, 2.0 * p - 4.0 * l, p + span, 2.0 * p - 4.0 * h, p - span


def demark_pivots_step(
    state: State, at: int, open_: float, high: float, low: float, close: float, session: float
) -> tuple[float, float, float]:
    """Return the numerators of pivot, r1, s1.

    Formula: X = H + 2 * L + C where C < O, 2 * H + L + C where C > O, else H + L + 2 * C; pivot =
    X / 4, r1 = X / 2 - L, s1 = X / 2 - H; all of the session before

    Source: Tom DeMark, The New Science of Technical Analysis (1994); TradingView Pivot Points
    Standard, DM.

    Null: in the first session.

    Slots: those of `session_step`.
    """
    if not session_step(state, at, open_, high, low, close, session):
        return math.nan, math.nan, math.nan
    o, h, l, c = state[at + 6], state[at + 7], state[at + 8], state[at + 9]  # noqa: E741
    x = h + l + c
    if c < o:
        x += l
    elif c > o:
        x += h
    else:
        x += c
    return x, 2.0 * x - 4.0 * l, 2.0 * x - 4.0 * h


INPUTS = (*OPEN_HIGH_LOW_CLOSE, SESSION)
SESSION_SLOTS = 10
SECOND_SESSION = "the second session"


def _levels(names: str, divisor: int = 0) -> tuple[Output, ...]:
    exact = (lambda _: divisor) if divisor else None
    return tuple(Output(name, Unit.INPUT, divisor=exact) for name in names.split())


PIVOTS = (
    Definition(
        name="ClassicPivots",
        aliases=("Pivots", "PivotPoints"),
        summary="pivot, resistances and supports of the session before, as floor traders count",
        inputs=INPUTS,
        parameters=(),
        outputs=_levels("pivot r1 r2 r3 s1 s2 s3", 3),
        step=classic_pivots_step,
        state_size=lambda _: SESSION_SLOTS,
        warmup=lambda _: 2,
        waits_for=SECOND_SESSION,
        uses=(session_step,),
        is_linear=True,
    ),
    Definition(
        name="FibonacciPivots",
        summary="pivot of the session before, and levels at Fibonacci's ratios of its range",
        inputs=INPUTS,
        parameters=(),
        outputs=_levels("pivot r1 r2 r3 s1 s2 s3"),
        step=fibonacci_pivots_step,
        state_size=lambda _: SESSION_SLOTS,
        warmup=lambda _: 2,
        waits_for=SECOND_SESSION,
        uses=(session_step,),
    ),
    Definition(
        name="CamarillaPivots",
        summary="levels around the close of the session before",
        inputs=INPUTS,
        parameters=(),
        outputs=_levels("pivot r1 r2 r3 r4 s1 s2 s3 s4"),
        step=camarilla_pivots_step,
        state_size=lambda _: SESSION_SLOTS,
        warmup=lambda _: 2,
        waits_for=SECOND_SESSION,
        uses=(session_step,),
    ),
    Definition(
        name="WoodiePivots",
        summary="levels from the range of the session before and the open of this one",
        inputs=INPUTS,
        parameters=(),
        outputs=_levels("pivot r1 r2 s1 s2", 4),
        step=woodie_pivots_step,
        state_size=lambda _: SESSION_SLOTS,
        warmup=lambda _: 2,
        waits_for=SECOND_SESSION,
        uses=(session_step,),
        is_linear=True,
    ),
    Definition(
        name="DeMarkPivots",
        summary="levels that depend on whether the session before closed above its open",
        inputs=INPUTS,
        parameters=(),
        outputs=_levels("pivot r1 s1", 4),
        step=demark_pivots_step,
        state_size=lambda _: SESSION_SLOTS,
        warmup=lambda _: 2,
        waits_for=SECOND_SESSION,
        uses=(session_step,),
        is_linear=True,
    ),
    Definition(
        name="PreviousSession",
        summary="open, high, low and close of the session before",
        inputs=INPUTS,
        parameters=(),
        outputs=_levels("open high low close", 1),
        step=previous_session_step,
        state_size=lambda _: SESSION_SLOTS,
        warmup=lambda _: 2,
        waits_for=SECOND_SESSION,
        uses=(session_step,),
        is_linear=True,
    ),
    Definition(
        name="SessionSoFar",
        summary="open, high and low of this session up to this bar",
        inputs=INPUTS,
        parameters=(),
        outputs=_levels("open high low", 1),
        step=session_so_far_step,
        state_size=lambda _: SESSION_SLOTS,
        warmup=lambda _: 1,
        uses=(session_step,),
        is_linear=True,
    ),
)
