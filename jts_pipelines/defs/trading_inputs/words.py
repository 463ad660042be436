"""Trading inputs in words: tables and sentences for the metadata of a run; pure of Dagster."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from jts_pipelines.defs.trading_inputs.universe import Standing, Warmup
from jts_trading.domain.trading_inputs import RiskLimits, StrategyInput

_SHOWN = 6


def instances_table(
    instances: Iterable[StrategyInput],
    warmups: Mapping[str, Warmup],
    known: Mapping[str, Mapping[str, Standing]],
) -> str:
    """Return one row per strategy instance as Markdown.

    Args:
        instances: What was written.
        warmups: By instance.
        known: What is known of each symbol, by instance.
    """
    rows = [
        "| instance | release | through | bars | instruments | allocation | warm-up |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in instances:
        names = list(_named(each, known.get(each.instance, {})))
        shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
        paused = " (paused)" if each.status == "paused" else ""
        rows.append(
            f"| {each.instance}{paused} | `{each.release}` | {each.broker} {each.account} "
            f"| {each.venue} {each.interval} | {shown} | {each.allocation:,f} {each.currency} "
            f"| {warmup_words(warmups[each.instance])} |"
        )
    return "\n".join(rows)


def warmup_words(warmup: Warmup) -> str:
    """Return where the state of an instance comes from."""
    if warmup.is_cold:
        return f"none: cold start, {warmup.needed} bars until every condition is defined"
    return f"from {warmup.epoch or 'nowhere'}: {warmup.present} bars, {warmup.needed} are needed"


def limits_words(limits: RiskLimits) -> str:
    """Return what the account-level checks allow, one sentence each, as Markdown."""
    return "\n".join(f"* {sentence}" for sentence in _sentences(limits))


def _sentences(limits: RiskLimits) -> Iterator[str]:
    values = ", ".join(f"{_plain(v)} {name}" for name, v in limits.order_value_max.items())
    ages = ", ".join(f"{name} {age:g} s" for name, age in limits.price_age_s_max.items())
    quantity = limits.order_quantity_max
    yield f"R01 one order is worth at most {values}" + (
        "" if quantity is None else f", and has at most {_plain(quantity)} units"
    )
    yield f"R02 a limit price lies within {_share(limits.price_collar)} of the reference"
    yield f"R03 the reference price is at most so old: {ages} (instance time)"
    yield f"R04 one instrument holds at most {_share(limits.position_share_max)} of the equity"
    yield f"R04 all positions and open purchases hold at most {_share(limits.gross_exposure_max)}"
    yield f"R06 entries stop at a loss of {_share(limits.daily_loss_max)} since the day began"
    yield f"R07 entries stop {_share(limits.drawdown_max)} below the highest equity"
    yield f"R08 the same order again within {limits.duplicate_window_s:g} s is refused"
    yield (
        f"R09 an instance sends at most {limits.orders_per_second} orders a second "
        f"and {limits.orders_per_minute} a minute (real time)"
    )
    yield f"R10 entries stop after {limits.rejects_per_minute} refusals of the venue in a minute"
    yield (
        f"R17 entries stop with more than {limits.unknown_orders_max} orders in doubt, or "
        f"{limits.reconciled_age_s_max:g} s after the last reconciliation"
    )
    yield (
        f"at clock speed s, (s - 1) x {limits.latency_allowance_s:g} s are added to ages: "
        "what our own processes take"
    )


def _named(each: StrategyInput, known: Mapping[str, Standing]) -> Iterator[str]:
    for instrument in each.instrument_ids:
        standing = known.get(instrument.partition(":")[2])
        name = standing.name if standing is not None else ""
        yield f"{instrument} {name}".rstrip()


def _share(fraction: Decimal) -> str:
    return f"{_plain(fraction * 100)} %"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():,f}"
