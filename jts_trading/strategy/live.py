"""What a strategy may ask of live trading: nothing that is asked for is quietly left out.

A construct that live trading does not do is refused when a strategy is released and when the
trader prepares it; `jts strategy check` says so beforehand.
"""

from jts_trading.dsl.actions import FASTEST
from jts_trading.dsl.errors import Place, StrategyError
from jts_trading.dsl.grammar import Side, TimeInForce
from jts_trading.dsl.plan import Plan, Rule
from jts_trading.strategy.rules import SizeDefaults, read_rules, short_rules

PAPER = "paper"


def require_live(plan: Plan, *, broker: str, currency: str) -> None:
    """Check that live trading does what a strategy asks for.

    Args:
        plan: The compiled strategy.
        broker: Through whom the instance trades.
        currency: That it trades in.

    Raises:
        StrategyError: A stop for an instant, a broker, currency or size that is not traded.
    """
    read_rules(plan, SizeDefaults(), currency)
    for rule in plan.rules:
        _require_order(plan, rule)
        # The paper broker stands for any.
        if broker != PAPER and rule.broker not in ("", FASTEST, broker):
            raise StrategyError(
                f"the order is for {rule.broker}; this instance trades through {broker}",
                Place(plan.file, rule.line, rule.column),
            )


def _require_order(plan: Plan, rule: Rule) -> None:
    if rule.side not in {Side.ENTRY_LONG, Side.EXIT_LONG}:
        return  # short-selling is off: `plan_notes` says so
    if rule.stop is not None and rule.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}:
        raise StrategyError(
            f"stops are held for the day or until cancelled; found {rule.time_in_force}",
            Place(plan.file, rule.line, rule.column),
        )


def require_tradable(plan: Plan) -> None:
    """Check that a strategy could be traded live, whoever the broker is.

    Raises:
        StrategyError: See `require_live`.
    """
    require_live(plan, broker=PAPER, currency=plan.currency or "KRW")


def plan_notes(plan: Plan) -> tuple[str, ...]:
    """Return what a strategy says that drivers read in their own way, one sentence each."""
    found = []
    if shorts := short_rules(plan):
        found.append(f"short-selling is off: {shorts} rules are left out")
    if plan.sources:
        found.append(
            "sources stay in the plan; which feed brings which symbols is set for the collector"
        )
    if named := sorted({rule.broker for rule in plan.rules} - {"", FASTEST}):
        found.append(
            f"orders through {', '.join(named)}: a backtest has the costs of its own settings"
        )
    return tuple(found)


def live_refusal(plan: Plan) -> str:
    """Return why a strategy could not be traded live, whoever the broker is; empty if it could."""
    try:
        require_tradable(plan)
    except StrategyError as error:
        return str(error)
    return ""
