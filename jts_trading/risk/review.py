"""The review of a final order: every check of one table, and no way around it.

`review` is the only caller of `approve`. It has no clock and asks nobody: what is not in the facts
is missing, and what is missing denies, as does a check that raises. Every check is evaluated, so
that the verdict tells all figures; the first one that fails names the denial. There is no flag
that skips a check, in any environment.

Orders that reduce a position pass the checks that exist to stop new exposure; the claim itself is
judged by R15, against the journal's position and everything that is already on offer.
"""

from collections.abc import Callable

from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.risk import account_checks, flow_checks, order_checks
from jts_trading.risk.approval import FinalOrder, approve
from jts_trading.risk.case import Case, MissingFactError
from jts_trading.risk.facts import RiskFacts
from jts_trading.risk.order_checks import failed
from jts_trading.risk.verdict import Denial, Finding, Review, Verdict

Check = Callable[[Case], Finding]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("KILL", flow_checks.kill_switch),
    ("R13", order_checks.session),
    ("R12", flow_checks.permitted),
    ("R17", flow_checks.input_health),
    ("R03", order_checks.price_age),
    ("R14", order_checks.grid),
    ("R15", account_checks.reduce_only),
    ("R01", order_checks.size),
    ("R02", order_checks.collar),
    ("R18", order_checks.sanity),
    ("R04", account_checks.exposure),
    ("R05", account_checks.means),
    ("R06", account_checks.daily_loss),
    ("R07", account_checks.drawdown),
    ("R08", flow_checks.duplicate),
    ("R09", flow_checks.order_rate),
    ("R10", flow_checks.reject_ratio),
    ("R11", flow_checks.self_match),
)


def review(
    order: FinalOrder,
    facts: RiskFacts,
    limits: RiskLimits | None,
    *,
    reduces: bool,
    now_ns: int,
    limits_version: int = 0,
) -> Review:
    """Judge exactly what would be sent.

    Args:
        order: The final payload.
        facts: What is known.
        limits: What is allowed; None denies.
        reduces: The intent's claim that it makes a position smaller.
        now_ns: Instance time, UTC ns.
        limits_version: Of the trading inputs that the limits come from.
    """
    if limits is None:
        findings: tuple[Finding, ...] = (failed("limits", "no limits are known", {}),)
    else:
        case = Case(order, facts, limits, now_ns, reduces)
        findings = tuple(_judge(name, check, case) for name, check in CHECKS)
    first = next((finding for finding in findings if not finding.is_passed), None)
    verdict = Verdict(
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        payload_hash=order.payload_hash,
        limits_version=limits_version,
        reviewed_ns=now_ns,
        is_allowed=first is None,
        check=first.check if first else "",
        reason=first.reason if first else "",
        reduces=reduces,
        findings=findings,
    )
    if first is None:
        return Review(approve(order), verdict)
    return Review(Denial(first.check, first.reason), verdict)


def _judge(name: str, check: Check, case: Case) -> Finding:
    try:
        return check(case)
    except MissingFactError as error:
        return failed(name, f"not known: {error}", {})
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in a check denies
        return failed(name, f"the check failed: {type(error).__name__}: {error}", {})
