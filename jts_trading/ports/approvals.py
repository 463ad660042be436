"""Which strategy texts were released: approvals as files below the data root.

`<home>/research/releases/<name>@<digest of the text>/release.json` is written when a candidate
passed its gates, or was let through by name and reason (`jts_pipelines.defs.research.gate`).
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from jts_trading.config.source import ConfigError
from jts_trading.domain.trading_inputs import StrategyInput
from jts_trading.dsl.compiler import compile_strategy
from jts_trading.indicators.catalog import NATIVE, Catalog

RELEASES = Path("research/releases")
APPROVAL = "release.json"
_DIGITS = 12


def text_digest(text: str) -> str:
    """Return what identifies a text in the key of its candidate."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def refusal_of(home: Path, text: str, params: Mapping[str, str], catalog: Catalog = NATIVE) -> str:
    """Return why a text with these parameters is not released; empty if it is.

    Args:
        home: Root of the instance.
        text: Of the strategy.
        params: Values that replace those of the text.
        catalog: The indicators that the text may call.

    Raises:
        StrategyError: The text is refused.
    """
    read = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = (home / RELEASES).glob(f"*@{text_digest(read)}/{APPROVAL}")
    if not any(True for _ in kept):
        return "no release of this text was approved"
    own = compile_strategy(text, catalog=catalog).digest
    if compile_strategy(text, params=params, catalog=catalog).digest != own:
        return "the released text has other parameters: write these into it and release that"
    return ""


def require_released(home: Path, instances: Iterable[StrategyInput]) -> None:
    """Refuse instances that may enter and whose texts were not released.

    Raises:
        ConfigError: One was not; says how to release it, or to trade it on paper.
        StrategyError: A text is refused.
    """
    for each in instances:
        refusal = "" if each.status == "paused" else refusal_of(home, each.dsl_code, each.params)
        if refusal:
            raise ConfigError(not_released(each.instance, refusal))


def not_released(instance: str, refusal: str) -> str:
    """Return what to tell of an instance that may not trade."""
    return (
        f"trading.releases is 'approved', and {instance} is not released: {refusal}; put the text "
        "into strategies/ and let it pass its gates (docs/research.md), pause the instance, or "
        'set trading.releases = "any", which paper trading accepts'
    )
