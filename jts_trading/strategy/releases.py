"""Release a strategy text: from the text and where it trades to one strategy instance.

The name of a release says everything that its signals depend on: the digest covers normalised
text, parameters and engine version (`dsl.plan.Plan.digest`) and the epoch of its state.
"""

import hashlib
import re
import uuid
from datetime import date

import msgspec

from jts_trading.domain.errors import TerminalError
from jts_trading.domain.instruments import InstrumentError, parse_instrument_id
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.dsl.plan import Plan
from jts_trading.indicators.catalog import NATIVE, Catalog
from jts_trading.strategy.live import require_live

_NAMESPACE = uuid.UUID("8d0f6f3a-3c0e-5d55-9a0b-6f0d6f2a7c11")
_DIGITS = 12
_INTERVAL = re.compile(r"[1-9][0-9]*[smhd]")


class ReleaseError(TerminalError):
    """A strategy instance cannot be released as it is described; the message says why."""


def release_name(plan: Plan, epoch: str) -> str:
    """Return the name of a release: `SMA_Crossover@1a2b3c4d5e6f`.

    Args:
        plan: The compiled text with its parameters.
        epoch: First session from which its state is computed, ISO date; empty for none.
    """
    identity = f"{plan.digest}\0{epoch}"
    return f"{plan.name}@{hashlib.sha256(identity.encode()).hexdigest()[:_DIGITS]}"


def strategy_id(release: str) -> str:
    """Return the UUID of a release in the table `strategies`; the same name has the same one."""
    return str(uuid.uuid5(_NAMESPACE, release))


def release(
    text: str | bytes, wanted: StrategyInput, *, file: str, catalog: Catalog = NATIVE
) -> StrategyInput:
    """Compile a text and complete the description of its instance.

    Args:
        text: The strategy, at most 64 KiB of UTF-8.
        wanted: The instance; id, release, text and effective interval are filled in.
        file: How errors name the text.
        catalog: The indicators that the text may call.

    Raises:
        StrategyError: The text is refused, or asks for what live trading does not do.
        ReleaseError: An instrument, the interval, the allocation or the epoch cannot be used.
    """
    plan = compile_strategy(text, file=file, params=wanted.params, catalog=catalog)
    _check(wanted)
    require_live(plan, broker=wanted.broker, currency=wanted.currency)
    name = release_name(plan, wanted.epoch)
    return msgspec.structs.replace(
        wanted,
        strategy_id=strategy_id(name),
        release=name,
        dsl_code=text.decode("utf-8") if isinstance(text, bytes) else text,
        interval=plan.base_interval or wanted.interval,
    )


def _check(wanted: StrategyInput) -> None:
    instance, venue, ids = wanted.instance, wanted.venue, wanted.instrument_ids
    for instrument_id in ids:
        try:
            listed_on = parse_instrument_id(instrument_id).market
        except InstrumentError as error:
            raise ReleaseError(f"{instance}: {error}") from error
        if listed_on != venue and not (venue == "NXT" and listed_on == "KRX"):
            raise ReleaseError(f"{instance}: {instrument_id} does not trade on {venue}")
    if not ids or len(set(ids)) != len(ids):
        raise ReleaseError(f"{instance}: accepted: one instrument at least, each once")
    if not (wanted.allocation.is_finite() and wanted.allocation > 0):
        raise ReleaseError(
            f"{instance}: allocation is {wanted.allocation}; accepted: an amount above 0"
        )
    if not _INTERVAL.fullmatch(wanted.interval):
        raise ReleaseError(
            f"{instance}: interval is {wanted.interval!r}; accepted: a number and s, m, h or d, "
            "as in 1m"
        )
    try:
        if wanted.epoch:
            date.fromisoformat(wanted.epoch)
    except ValueError:
        raise ReleaseError(
            f"{instance}: epoch is {wanted.epoch!r}; accepted: an ISO date such as 2025-06-02, "
            "or empty"
        ) from None
