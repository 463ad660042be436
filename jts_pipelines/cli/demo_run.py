"""One demo: what it was given, and what happened so far."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from jts_pipelines.cli.demo_counting import PaperDay
from jts_pipelines.cli.demo_house import Ledger
from jts_pipelines.defs.house import House
from jts_trading.config.settings import Settings
from jts_trading.telemetry import console
from storage.lake.standing import Standing, TierTotals
from storage.schema.tiers import Tier


@dataclass(slots=True, kw_only=True)
class Demo:
    """One demo: what it was given, and what happened so far.

    Attributes:
        settings: Of the demo's own instance.
        data: Folder of market data as the user named it.
        bars: Progress.
        is_generated: Whether the bars were made from a seed.
        phases: Seconds by phase, in order.
        as_of: Instance time of each file, by asset family.
        ledger: Rows taken in and counted.
        standings: Where each partition stands at the end.
        tiers: Totals at the end.
        verified: Partitions whose copies were opened again and are sound.
        problems: One line for whatever is not as it must be.
        backtests: Documents of the backtests, by name.
        folder: Where the market data is, once it is chosen.
        paper: What was counted of each traded day, by broker.
        traded_days: Day in Korea of each, by broker.
        certificates: Parity certificate of each, by broker.
        reports: Page of each daily report, by broker.
        day_documents: Document of each daily report, by broker.
    """

    settings: Settings
    data: Path | None
    bars: console.Bars
    is_generated: bool = False
    phases: dict[str, float] = field(default_factory=dict)
    as_of: dict[str, str] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    standings: list[Standing] = field(default_factory=list)
    tiers: dict[Tier, TierTotals] = field(default_factory=dict)
    verified: int = 0
    problems: list[str] = field(default_factory=list)
    backtests: dict[str, dict[str, Any]] = field(default_factory=dict)
    folder: Path = Path()
    paper: dict[str, PaperDay] = field(default_factory=dict)
    traded_days: dict[str, date] = field(default_factory=dict)
    certificates: dict[str, Path] = field(default_factory=dict)
    reports: dict[str, Path] = field(default_factory=dict)
    day_documents: dict[str, Path] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def house(self) -> House:
        """The libraries of the instance, opened anew."""
        return House(self.settings)

    @property
    def document_path(self) -> Path:
        """Where the JSON document is kept."""
        return self.settings.instance.root.parent / "demo.json"

    @contextmanager
    def phase(self, name: str, said: str) -> Iterator[None]:
        """Time a phase, and say that it begins."""
        started = time.monotonic()
        console.note(f"jts demo: {started - self.began:6.1f} s  {said}")
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - started
