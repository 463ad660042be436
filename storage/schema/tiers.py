"""Where hot, warm and cold live: defaults from `storage/tiers.toml`, overridden by `[tiers]`."""

import tomllib
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec


class Tier(StrEnum):
    """The three places of market data, fastest first."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"


class TierSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section `tiers`; the meaning of each key stands in `storage/tiers.toml`."""

    manifests: str
    warm: str
    cold: str
    quarantine: str
    hot_days: int
    warm_days: int
    warm_level: int
    cold_level: int
    row_group_rows: int
    space_factor: float
    reserve_share: float

    def path(self, home: Path, place: str) -> Path:
        """Return the absolute path of `manifests`, `warm`, `cold` or `quarantine`."""
        return home / str(getattr(self, place))

    def target(self, age_days: int) -> Tier:
        """Return the tier from which a partition of this age should be served."""
        if age_days <= self.hot_days:
            return Tier.HOT
        return Tier.WARM if age_days <= self.warm_days else Tier.COLD


def default_values() -> dict[str, Any]:
    """Return the values of `storage/tiers.toml`, to be overridden key by key."""
    return tomllib.loads(files("storage").joinpath("tiers.toml").read_text(encoding="utf-8"))


def default_settings() -> TierSettings:
    """Return the settings of `storage/tiers.toml` alone."""
    return msgspec.convert(default_values(), TierSettings)
