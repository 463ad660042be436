"""Pages of sweeps and walk-forwards: one self-contained HTML file each."""

from html import escape
from pathlib import Path

import numpy as np

from jts_pipelines.reports import sweep_charts as charts
from jts_pipelines.reports.page import (
    card,
    cell,
    figure,
    page,
    pair,
    section,
    table,
    warned,
    write_page,
)
from jts_pipelines.reports.words import LABELS, show
from jts_pipelines.research.running import Outcome, Params
from jts_pipelines.research.scoring import Verdict
from jts_pipelines.research.sweep import SweepResult
from jts_pipelines.research.walk_forward import Step, WalkResult

_TOP = 20
_SHOWN = ("total_return", "cagr", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor")
_FOOTER = (
    "<footer>docs/research.md says what the figures mean. Every trial is in the ledger of this "
    "instance; the best of many is judged by all of them.</footer>"
)


def write_sweep_page(result: SweepResult, path: Path) -> Path:
    """Write the page of a sweep; the file appears whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    return write_page(path, render_sweep(result))


def write_walk_page(result: WalkResult, path: Path) -> Path:
    """Write the page of a walk-forward; the file appears whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    return write_page(path, render_walk(result))


def render_sweep(result: SweepResult) -> str:
    """Return the page of a sweep as text."""
    about, best = result.plan.about, result.best_outcome
    title = f"{about.family}: sweep"
    axes = ", ".join(
        f"{axis.name} {axis.text(0)} to {axis.text(len(axis.values) - 1)}"
        for axis in result.plan.space.axes
    )
    method = f"{len(result.outcomes):,} trials, {result.plan.method}"
    objective = LABELS[result.plan.objective]
    return page(
        title,
        (
            _header(
                title,
                f"{best.sessions[0]} to {best.sessions[-1]} · {best.instruments:,} instruments of "
                f"{about.venue} · {about.interval} bars · {method} of "
                f"{result.plan.space.size:,} points",
                f"{axes} · objective: {objective}",
            ),
            _verdict(result.verdict),
            _sweep_cards(result),
            warned("Read this first", [str(finding) for finding in result.findings]),
            section(
                charts.heat_title(result),
                figure(charts.heat_chart(result)),
            ),
            section(
                "Luck and overfitting",
                pair(figure(charts.luck_chart(result)), figure(charts.logit_chart(result))),
            ),
            section(f"The best {min(_TOP, len(result.outcomes))} trials", _top(result)),
            _FOOTER,
        ),
    )


def render_walk(result: WalkResult) -> str:
    """Return the page of a walk-forward as text."""
    about, plan = result.plan.about, result.plan
    title = f"{about.family}: walk-forward"
    kind = "anchored" if plan.is_anchored else "rolling"
    return page(
        title,
        (
            _header(
                title,
                f"{result.sessions[0]} to {result.sessions[-1]} · {about.venue} · "
                f"{about.interval} bars · {len(result.steps)} windows, {kind}: "
                f"{plan.train} sessions to choose, {plan.test} to test",
                f"{len(result.outcomes):,} parameter sets · objective: {LABELS[plan.objective]}",
            ),
            _verdict(result.verdict),
            _walk_cards(result),
            warned("Read this first", [str(finding) for finding in result.findings]),
            section("Outside", figure(charts.walk_chart(result))),
            section("Inside and outside", figure(charts.efficiency_chart(result))),
            section("Windows", _windows(result)),
            _FOOTER,
        ),
    )


def _header(title: str, line: str, more: str) -> str:
    return (
        f"<header><h1>{escape(title)}</h1><p class='muted'>{escape(line)}</p>"
        f"<p class='muted small'>{escape(more)}</p></header>"
    )


def _verdict(verdict: Verdict) -> str:
    style = {Verdict.CONVINCING: "good", Verdict.UNKNOWN: ""}.get(verdict, "bad")
    return f'<p class="verdict {style}">{escape(verdict.value.capitalize())}</p>'


def _sweep_cards(result: SweepResult) -> str:
    deflated, overfitting = result.significance.deflated, result.overfitting
    plateau, best = result.plateau, result.best_outcome
    before = f"{result.significance.earlier:,} before"
    cards = (
        card(
            f"Best {LABELS[result.plan.objective]}",
            show(result.plan.objective, best.metrics[result.plan.objective]),
        ),
        card("Parameters of the best", _params(best.params)),
        card(
            "Deflated Sharpe ratio",
            "–" if deflated is None else f"{deflated.probability:.3f}",
            hint="Probability that the true Sharpe ratio is above the best luck of all trials.",
        ),
        card(f"Trials counted, {before}", f"{result.significance.trials:,}"),
        card(
            "Probability of overfitting",
            "–" if overfitting is None else f"{100 * overfitting.probability:.0f} %",
            hint="Share of ways to halve the sessions in which the best inside is in the lower "
            "half outside.",
        ),
        card(
            "Neighbours of the best, share of its score",
            "–" if plateau is None or plateau.ratio is None else f"{100 * plateau.ratio:.0f} %",
        ),
        card(
            "Best neighbourhood around",
            "–" if plateau is None else _params(result.outcomes[plateau.robust].params),
        ),
        card("Closed trades of the best", f"{best.trades:,}"),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _walk_cards(result: WalkResult) -> str:
    metrics = result.metrics
    ranks = [step.rank for step in result.steps if np.isfinite(step.rank)]
    cards = (
        *(
            card(f"{LABELS[name]}, outside", show(name, metrics[name]))
            for name in ("total_return", "cagr", "sharpe", "max_drawdown")
        ),
        card(
            "Efficiency",
            "–" if result.efficiency is None else f"{100 * result.efficiency:.0f} %",
            hint="Annual growth outside / mean annual growth of the chosen sets inside.",
        ),
        card(
            LABELS["probabilistic_sharpe"],
            show("probabilistic_sharpe", metrics["probabilistic_sharpe"]),
        ),
        card(
            "Mean rank outside of the chosen set",
            f"{100 * float(np.mean(ranks)):.0f} %" if ranks else "–",
            hint="100 % would be the best of all sets each time, 50 % is chance.",
        ),
        card("Closed trades, outside", show("trades", metrics["trades"])),
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _top(result: SweepResult) -> str:
    scores = np.where(np.isfinite(result.scores), result.scores, -np.inf)
    order = np.argsort(-scores, kind="stable")[:_TOP]
    names = [axis.name for axis in result.plan.space.axes]
    shown = [name for name in _SHOWN if name != result.plan.objective]
    head = (*names, LABELS[result.plan.objective], *(LABELS[name] for name in shown))
    return table(
        head, [_row(result.outcomes[at], names, (result.plan.objective, *shown)) for at in order]
    )


def _row(outcome: Outcome, names: list[str], figures: tuple[str, ...]) -> list[str]:
    if outcome.refusal:
        return [*(outcome.params[name] for name in names), outcome.refusal]
    return [
        *(outcome.params[name] for name in names),
        *(show(name, outcome.metrics[name]) for name in figures),
    ]


def _windows(result: WalkResult) -> str:
    head = ("Test from", "to", "Trained from", "Parameters", "Inside", "Outside", "Rank", "Trades")
    return table(head, [_window(result, step) for step in result.steps])


def _window(result: WalkResult, step: Step) -> list[str]:
    sessions, window = result.sessions, step.window
    tone = "" if not np.isfinite(step.test_score) else "gain" if step.test_score > 0 else "loss"
    return [
        str(sessions[window.test_first]),
        str(sessions[window.end - 1]),
        str(sessions[window.train_first]),
        "none had a score" if step.params is None else _params(step.params),
        _number(step.train_score),
        cell(_number(step.test_score), tone=tone),
        f"{100 * step.rank:.0f} %" if np.isfinite(step.rank) else "–",
        f"{step.trades:,}",
    ]


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def _params(params: Params) -> str:
    return ", ".join(f"{name} {value}" for name, value in params.items())
