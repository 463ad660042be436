"""Section `trader`."""

from decimal import Decimal
from fractions import Fraction

import msgspec

from jts_trading.config.source import ConfigError
from jts_trading.engine.state import EngineSettings
from jts_trading.strategy.rules import SizeDefaults
from jts_trading.strategy.sizing import PPM

_NS = 1_000_000_000


class TraderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the trader works; seconds are real seconds unless it says instance seconds.

    Attributes:
        bar_grace_s: How long after its end a bar waits for trades, instance seconds.
        decision_age_s: A decision that is made later than this after its bar could be known
            orders no entry, instance seconds.
        intent_valid_s: How long an intent may wait to be sent, instance seconds.
        exit_retry_s: First pause before an exit that did not fill is ordered again, instance
            seconds.
        transit_s: So long a trade may be on its way from the collector to here: the clock closes
            bars that much later.
        entries: Most entries of each topic in one read of the bus.
        wait_s: Longest wait for entries.
        snapshot_s: How often the whole state is stored; the account half is with every decision.
        journal_s: How often the journal is asked while nothing points to news.
        look_s: How often a quiet topic is looked at: it may have been wiped.
        fill_wait_s: How long the recorder is waited for when ticks are missing on the bus.
        history_days: Most sessions of recorded ticks that a start reads.
        retry_s: First pause after a store did not answer; doubled each time.
        retry_s_max: Longest such pause.
        bars_waiting: Closed bars that wait for a bus that does not answer; older ones are dropped.
        entry_percent: Size of an entry whose text gives no quantity, in percent of equity.
        kelly_trades_min: Closed trades before Kelly's formula is used.
        kelly_floor_percent: Size of a Kelly entry until then.
        kelly_fraction_percent: Share of the full Kelly size that is taken.
        kelly_cap_percent: Largest size of a Kelly entry.
    """

    bar_grace_s: float = 1.0
    decision_age_s: float = 5.0
    intent_valid_s: float = 5.0
    exit_retry_s: float = 10.0
    transit_s: float = 0.25
    entries: int = 256
    wait_s: float = 0.05
    snapshot_s: float = 2.0
    journal_s: float = 1.0
    look_s: float = 5.0
    fill_wait_s: float = 5.0
    history_days: int = 7
    retry_s: float = 0.25
    retry_s_max: float = 5.0
    bars_waiting: int = 20_000
    entry_percent: str = "5"
    kelly_trades_min: int = 20
    kelly_floor_percent: str = "1"
    kelly_fraction_percent: str = "50"
    kelly_cap_percent: str = "20"

    def sizes(self) -> SizeDefaults:
        """Return what strategy texts leave open.

        Raises:
            ConfigError: A percentage is none from 0 to 100 with at most four decimals.
        """
        return SizeDefaults(
            self._ppm("entry_percent"),
            (
                self.kelly_trades_min,
                self._ppm("kelly_floor_percent"),
                self._ppm("kelly_fraction_percent"),
                self._ppm("kelly_cap_percent"),
            ),
        )

    def for_engine(self, speed: Fraction, allowance_s: float, collar: Decimal) -> EngineSettings:
        """Return the engine's settings.

        Args:
            speed: Of the instance clock.
            allowance_s: Real seconds that our own way may take. At clock speed s, (s - 1) times
                this is added to every limit on an age, so that at speed 1 nothing is.
            collar: Share above the close at which a buy reserves cash without price limits.

        Raises:
            ConfigError: See `sizes`.
        """
        beyond_s = max(Fraction(0), speed - 1) * Fraction(allowance_s)
        return EngineSettings(
            grace_ns=_ns(Fraction(self.bar_grace_s) + beyond_s),
            decision_age_ns=_ns(Fraction(self.decision_age_s) + beyond_s),
            intent_valid_ns=_ns(Fraction(self.intent_valid_s) + beyond_s),
            retry_ns=_ns(Fraction(self.exit_retry_s) + beyond_s),
            collar=collar,
            sizes=self.sizes(),
        )

    def _ppm(self, name: str) -> int:
        text = getattr(self, name)
        try:
            value = Fraction(text) * PPM / 100
        except (ValueError, ZeroDivisionError):
            value = Fraction(-1)
        if value.denominator != 1 or not 0 <= value <= PPM:
            raise ConfigError(
                f"trader.{name} is {text!r}; accepted: 0 to 100, at most four decimals"
            )
        return int(value)


def _ns(seconds: Fraction) -> int:
    return int(seconds * _NS)
