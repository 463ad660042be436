"""A plan as one document: what it computes, what it needs, what it orders."""

from fractions import Fraction
from typing import Any

from jts_trading.dsl.grammar import Block
from jts_trading.dsl.normal import decimal_text
from jts_trading.dsl.plan import ENGINE_VERSION, Plan, QuantityKind, RiskBlock, Rule, Universe

# The document is JSON by nature: its values are of any kind.
Document = dict[str, Any]


def explain(plan: Plan, *, with_source: bool = True) -> Document:
    """Return a plan as values that JSON can carry; numbers of the text as decimal texts.

    Args:
        plan: The plan.
        with_source: Whether the generated source is included.
    """
    document: Document = {
        "name": plan.name,
        "digest": plan.digest,
        "engine_version": ENGINE_VERSION,
        "base": {"name": plan.base_name, "interval": plan.base_interval},
        str(Block.TIMEFRAMES): [
            {"bit": bit, "name": t.name, "interval": t.interval}
            for bit, t in enumerate(plan.timeframes)
        ],
        "needs": list(plan.needs),
        "warmup_bars": plan.warmup_bars,
        "state_size": plan.state_size,
        str(Block.PARAMS): [
            {
                "name": p.name,
                "measure": p.measure,
                **{key: _plain(getattr(p, key)) for key in ("value", "low", "high", "step")},
            }
            for p in plan.params
        ],
        "rules": [explain_rule(rule) for rule in plan.rules],
        str(Block.RISK_MANAGEMENT): explain_risk(plan.risk),
        str(Block.UNIVERSE): {
            name: list(getattr(plan.universe, name)) for name in Universe.__dataclass_fields__
        },
        str(Block.SOURCES): [
            {"name": s.name, "first": s.first, "last": s.last} for s in plan.sources
        ],
        "is_ranked": plan.rank is not None,
        "plan": [
            {"node": n.number, "timeframe": n.frame, "computes": n.text, "slots": n.slots}
            for n in plan.nodes
        ],
        "normalised": plan.normalised,
    }
    if with_source:
        document["source"] = plan.source
        document["guard"] = plan.guard
    return document


def explain_rule(rule: Rule) -> Document:
    """Return a rule as a document."""
    return {
        "bit": rule.bit,
        "side": rule.side,
        "condition": rule.condition,
        "action": rule.action,
        "quantity": quantity_text(rule),
        "type": rule.order_type,
        "time_in_force": rule.time_in_force,
        "asks_account": rule.is_guarded,
        "on_trades": rule.on_trades,
        "broker": rule.broker,
        "line": rule.line,
        "column": rule.column,
    }


def quantity_text(rule: Rule) -> str:
    """Return a quantity as a person reads it."""
    amount = "" if rule.quantity.amount is None else f"{rule.quantity.amount.normalize():f}"
    match rule.quantity.kind:
        case QuantityKind.PERCENT:
            return (
                f"{(rule.quantity.amount or 0) * 100:f}".rstrip("0").rstrip(".") + " % of equity"
            )
        case QuantityKind.SHARES:
            return f"{amount} shares"
        case QuantityKind.MONEY:
            return f"{amount} {rule.quantity.currency}"
        case QuantityKind.ALL:
            return "the whole position"
        case QuantityKind.KELLY:
            return "the Kelly fraction"
        case QuantityKind.NONE:
            return "as configured"


def explain_risk(risk: RiskBlock) -> Document:
    """Return what the risk block sets; percentages as fractions."""
    values = {name: getattr(risk, name) for name in RiskBlock.__dataclass_fields__}
    return {
        name: value if isinstance(value, int) else f"{value:f}"
        for name, value in values.items()
        if value is not None
    }


def _plain(value: Fraction | None) -> str | None:
    return None if value is None else decimal_text(value)
