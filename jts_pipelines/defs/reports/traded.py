"""What was traded on a day: the trading inputs that were in force; pure of Dagster."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jts_pipelines.defs.trading_inputs.document import VERSIONS
from jts_pipelines.reports.daily_records import Span
from jts_pipelines.reports.parity import Traded
from jts_trading.domain.trading_inputs import StrategyInput, TradingInputs
from jts_trading.ports.inputs import read_inputs

_FOREVER_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class TradedInstance:
    """A strategy instance with a release, and from when until when it was traded (UTC ns)."""

    spec: StrategyInput
    from_ns: int
    until_ns: int

    @property
    def key(self) -> Traded:
        """Instance and release."""
        return self.spec.instance, self.spec.release


def traded_on(home: Path, span: Span) -> list[TradedInstance]:
    """Return what was traded on a day, each instance and release once.

    Raises:
        ConfigError: The current inputs cannot be read.
    """
    return merge(_documents(home), span)


def merge(documents: Iterable[TradingInputs], span: Span) -> list[TradedInstance]:
    """Return what documents, each in force until the next one was made, mean for a day."""
    ordered = sorted(documents, key=lambda document: document.version)
    found: dict[Traded, TradedInstance] = {}
    for at, document in enumerate(ordered):
        following = ordered[at + 1].created_ns if at + 1 < len(ordered) else _FOREVER_NS
        if document.created_ns >= span.before_ns or following <= span.from_ns:
            continue
        for spec in document.instances:
            key = (spec.instance, spec.release)
            before = found.get(key)
            from_ns = document.created_ns if before is None else before.from_ns
            found[key] = TradedInstance(spec, from_ns, following)
    return [found[key] for key in sorted(found)]


def _documents(home: Path) -> list[TradingInputs]:
    """Return every version that is kept, and the current one where it is none of them."""
    kept = {
        document.version: document
        for path in (home / VERSIONS).glob("*.json")
        if (document := _read(path)) is not None
    }
    current = read_inputs(home)
    if current is not None:
        kept.setdefault(current.version, current)
    return list(kept.values())


def _read(path: Path) -> TradingInputs | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=TradingInputs)
    except (OSError, msgspec.DecodeError, ValueError):
        return None  # Dropped meanwhile, or of a program that is not ours.
