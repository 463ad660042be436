"""What a backtest assumes, apart from the strategy and the bars: one frozen, hashable value."""

import hashlib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import msgspec

from jts_pipelines.backtest.columns import FillModel, Limits, ShortTerms
from jts_pipelines.backtest.places import WORTH_MAX
from jts_pipelines.backtest.venues import VENUES, VenueTerms
from jts_trading.domain.trading_inputs import RiskLimits
from jts_trading.strategy.frames import DAY_SECONDS, IntervalError, interval_seconds
from jts_trading.strategy.sizing import MONEY_MAX, NANO, PPM
from storage.errors import InputError

COMMISSION_MAX = Decimal("0.1")
_PERCENTAGES = (
    "entry_percent",
    "kelly_floor_percent",
    "kelly_fraction_percent",
    "kelly_cap_percent",
    "volume_percent",
    "slippage_bps",
    "impact_bps",
    "dividend_tax_percent",
    "short_margin_percent",
    "short_maintenance_percent",
    "borrow_percent",
)
FILLS = ("next_open", "close", "opening_auction", "closing_auction")
IMPACT_SHAPES = ("root", "linear")
# What `--assume` of the command line may set.
_ASSUMED: dict[str, type] = {
    **dict.fromkeys(("fill", "volume_percent", "slippage_bps", "impact_bps", "impact_shape"), str),
    **dict.fromkeys(("entry_percent", "kelly_floor_percent", "kelly_fraction_percent"), str),
    **dict.fromkeys(("kelly_cap_percent", "unknown_market", "dividend_tax_percent"), str),
    **dict.fromkeys(("short_margin_percent", "short_maintenance_percent", "borrow_percent"), str),
    **dict.fromkeys(("slippage_ticks", "kelly_trades_min", "commission_unit"), int),
    **dict.fromkeys(("exits_inside", "waits_settlement", "short_selling"), bool),
    "splits": tuple,
    "rights": tuple,
    "dividends": tuple,
    "delistings": tuple,
}
_WORDS = {"yes": True, "no": False, "true": True, "false": False}


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What risk denies of entries, of its checks those that look at the account.

    Attributes:
        order_value: R01, in the currency of the account.
        position_share, gross_exposure: R04, as fractions of the equity.
        daily_loss: R06, of the equity at the start of the trading day.
        drawdown: R07, of the highest equity.
    """

    order_value: str
    position_share: str
    gross_exposure: str
    daily_loss: str
    drawdown: str

    def whole(self, terms: VenueTerms) -> Limits:
        """Return them in whole numbers.

        Raises:
            InputError: One is not above zero, or finer than can be counted.
        """
        value = self._counted("order_value", terms.money_scale)
        names = ("position_share", "gross_exposure", "daily_loss", "drawdown")
        return Limits(min(value, WORTH_MAX), *(self._counted(name, PPM) for name in names))

    def _counted(self, name: str, scale: int) -> int:
        text = getattr(self, name)
        try:
            found = Fraction(Decimal(text)) * scale
        except (InvalidOperation, ValueError, OverflowError):
            found = Fraction(0)
        if found <= 0 or found.denominator != 1:
            raise InputError(f"limit {name} is {text!r}; accepted: above 0, in 1 of {scale:,}")
        return int(found)


def limits_of(risk: RiskLimits, currency: str) -> AccountLimits:
    """Return the limits of an account in one currency.

    Raises:
        InputError: R01 has no limit in this currency.
    """
    value = risk.order_value_max.get(currency)
    if value is None:
        known = ", ".join(risk.order_value_max)
        raise InputError(f"[risk] order_value_max has no limit in {currency}; it has: {known}")
    return AccountLimits(
        order_value=str(value),
        position_share=str(risk.position_share_max),
        gross_exposure=str(risk.gross_exposure_max),
        daily_loss=str(risk.daily_loss_max),
        drawdown=str(risk.drawdown_max),
    )


class BacktestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Assumptions of one run; `docs/assumptions.md` explains each.

    Attributes:
        cash: Allocation of the strategy instance in the currency of its venue; 0 becomes 100
            million won or 100,000 USDT.
        venue: Where it trades.
        interval: Interval of the bars that are handed over.
        broker: Whose published commission applies.
        commission_rate: The account's own rate as a decimal fraction (`"0.00015"`); it replaces
            the published one.
        commission_unit: Commissions are floored to this many of the smallest units of money.
        unknown_market: Market of instruments that the instruments table does not list.
        entry_percent: Size of an entry whose text gives no quantity, in percent of equity.
        kelly_trades_min: Closed trades before Kelly's formula is used.
        kelly_floor_percent: Size of a Kelly entry until then.
        kelly_fraction_percent: Share of the full Kelly size that is taken.
        kelly_cap_percent: Largest size of a Kelly entry.
        fill: When a market order fills: at the `next_open`, the next `close`, or in the next
            `opening_auction` or `closing_auction` (first open, last close of a session).
        volume_percent: Share of a bar's volume that one order fills at most; the rest waits. 0
            fills all of it at once.
        slippage_bps: Distance against the order of what fills at the market, in hundredths of a
            percent of the price.
        slippage_ticks: The same in ticks.
        impact_bps: Further distance of an order as large as the volume of its bar.
        impact_shape: How it grows: with the `root` of the share of the volume, or `linear`.
        exits_inside: The risk block leaves inside bars, at its levels; else on closes, as live.
        waits_settlement: Money of a sale pays for purchases once it has settled (KRX: T+2).
        splits: `SYMBOL@DAY=OLD:NEW` of splits, consolidations and free shares: the first session
            with new shares, and how many old ones became how many new ones.
        rights: `SYMBOL@DAY=RATIO:PRICE` of rights issues: the ex-date, how many new shares an old
            one may subscribe to, and won for a new one.
        dividends: `SYMBOL@DAY=AMOUNT` of cash dividends: the ex-date, and won a share before tax.
        delistings: `SYMBOL@DAY=PRICE`: from the day on a symbol does not trade, and what is paid
            for a share or coin that is held then; `SYMBOL@DAY` pays nothing.
        dividend_tax_percent: What is withheld of dividends (KRX: 14 % and 1.4 % local tax).
        short_selling: Rules that sell short and cover count; else they are left out.
        short_margin_percent: Of what is sold short, how much is held back beside the proceeds.
        short_maintenance_percent: A short position is covered once both are worth less than it
            and this much more.
        borrow_percent: Fee a year for borrowed shares, of the amount for which they were sold.
        limits: What risk denies of entries; None denies nothing.
        sessions_per_year: For annualised figures; 0 takes what the venue has.
    """

    cash: int = 0
    venue: str = "KRX"
    interval: str = "1d"
    broker: str = "kis"
    commission_rate: str | None = None
    commission_unit: int = 1
    unknown_market: str = "KOSDAQ"
    entry_percent: str = "5"
    kelly_trades_min: int = 20
    kelly_floor_percent: str = "1"
    kelly_fraction_percent: str = "50"
    kelly_cap_percent: str = "20"
    fill: str = "next_open"
    volume_percent: str = "0"
    slippage_bps: str = "0"
    slippage_ticks: int = 0
    impact_bps: str = "0"
    impact_shape: str = "root"
    exits_inside: bool = False
    waits_settlement: bool = False
    splits: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    dividends: tuple[str, ...] = ()
    delistings: tuple[str, ...] = ()
    dividend_tax_percent: str = "15.4"
    short_selling: bool = False
    short_margin_percent: str = "100"
    short_maintenance_percent: str = "5"
    borrow_percent: str = "4"
    limits: AccountLimits | None = None
    sessions_per_year: int = 0

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: Names the field, what was found and what is accepted.
        """
        if self.venue not in VENUES:
            accepted = ", ".join(VENUES)
            raise InputError(
                f"venue is {self.venue!r}; a backtest has costs and rules for: {accepted}"
            )
        if self.cash == 0:
            msgspec.structs.force_setattr(self, "cash", self.terms.start_cash)
        most = min(MONEY_MAX, WORTH_MAX // self.terms.money_scale)
        if not 0 < self.cash <= most:
            raise InputError(f"cash is {self.cash}; accepted: 1 to {most} {self.terms.currency}")
        self._check_interval()
        if self.commission_unit < 1:
            raise InputError(f"commission_unit is {self.commission_unit}; accepted: 1 and above")
        self._check_choice("fill", FILLS)
        self._check_choice("impact_shape", IMPACT_SHAPES)
        for name in ("kelly_trades_min", "sessions_per_year", "slippage_ticks"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; accepted: 0 and above")
        for name in _PERCENTAGES:
            self.ppm(name)
        self._check_commission()
        if self.short_selling and not self.terms.can_borrow:
            raise InputError(
                f"short_selling is on; at {self.venue} nobody lends what is to be sold"
            )
        self.fill_model  # noqa: B018 - raises what cannot be counted
        if self.limits is not None:
            self.limits.whole(self.terms)

    def _check_interval(self) -> None:
        try:
            seconds = interval_seconds(self.interval)
        except IntervalError:
            seconds = 0
        if not 0 < seconds <= DAY_SECONDS or DAY_SECONDS % seconds:
            raise InputError(
                f"interval is {self.interval!r}; accepted: 1s, 5s, 30s, 1m, 5m, 1h, 1d and others "
                "that divide a day"
            )

    def _check_choice(self, name: str, accepted: tuple[str, ...]) -> None:
        if getattr(self, name) not in accepted:
            raise InputError(f"{name} is {getattr(self, name)!r}; accepted: {', '.join(accepted)}")

    def _check_commission(self) -> None:
        if self.commission_rate is None:
            return
        try:
            nano = Fraction(Decimal(self.commission_rate)) * NANO
        except (InvalidOperation, ValueError, OverflowError):
            nano = Fraction(-1)
        if nano.denominator != 1 or not 0 <= nano <= int(COMMISSION_MAX * NANO):
            raise InputError(
                f"commission_rate is {self.commission_rate!r}; accepted: a fraction from 0 to "
                f"{COMMISSION_MAX} with at most nine decimals, such as 0.00015"
            )

    def ppm(self, name: str) -> int:
        """Return a percentage field in ppm.

        Raises:
            InputError: It is no percentage from 0 to 100 with at most four decimals.
        """
        text = getattr(self, name)
        try:
            value = Fraction(Decimal(text)) * PPM / 100
        except (InvalidOperation, ValueError, OverflowError):
            value = Fraction(-1)
        if value.denominator != 1 or not 0 <= value <= PPM:
            raise InputError(f"{name} is {text!r}; accepted: 0 to 100, at most four decimals")
        return int(value)

    def _bps_in_ppm(self, name: str) -> int:
        hundredth = self.ppm(name)
        if hundredth % 100:
            raise InputError(f"{name} is {getattr(self, name)!r}; accepted: at most two decimals")
        return hundredth // 100

    @property
    def fill_model(self) -> FillModel:
        """How orders fill, in whole numbers."""
        return FillModel(
            fill_at=FILLS.index(self.fill),
            volume_share_ppm=self.ppm("volume_percent"),
            slip_ppm=self._bps_in_ppm("slippage_bps"),
            slip_ticks=self.slippage_ticks,
            impact_ppm=self._bps_in_ppm("impact_bps"),
            has_root=int(self.impact_shape == "root"),
            exits_inside=int(self.exits_inside),
            waits_settlement=int(self.waits_settlement),
        )

    @property
    def short_terms(self) -> ShortTerms:
        """What a short sale costs, in whole numbers."""
        return ShortTerms(
            margin_ppm=self.ppm("short_margin_percent"),
            cover_ppm=PPM + self.ppm("short_maintenance_percent"),
            borrow_ppm=self.ppm("borrow_percent"),
            is_uptick=int(self.venue == "KRX"),
        )

    @property
    def has_actions(self) -> bool:
        """Whether corporate actions are given."""
        return bool(self.splits or self.rights or self.dividends or self.delistings)

    @property
    def terms(self) -> VenueTerms:
        """How the venue counts."""
        return VENUES[self.venue]

    @property
    def year(self) -> int:
        """Sessions of a year."""
        return self.sessions_per_year or self.terms.sessions_per_year

    @property
    def start_money(self) -> int:
        """Starting cash in units of the account."""
        return self.cash * self.terms.money_scale

    @property
    def digest(self) -> str:
        """SHA-256 of all fields."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


def read_assumptions(texts: Sequence[str]) -> dict[str, Any]:
    """Read `NAME=VALUE` texts of assumptions that a command line gives.

    Raises:
        InputError: One is not spelled so, has no such name, or no value of its kind.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or name not in _ASSUMED:
            accepted = ", ".join(_ASSUMED)
            raise InputError(f"--assume is {text!r}; accepted: NAME=VALUE with one of {accepted}")
        kind = _ASSUMED[name]
        if kind is str:
            found[name] = value
        elif kind is tuple:
            found[name] = tuple(part.strip() for part in value.split(",") if part.strip())
        elif kind is bool and value in _WORDS:
            found[name] = _WORDS[value]
        elif kind is int and value.isdecimal():
            found[name] = int(value)
        else:
            accepted = "yes or no" if kind is bool else "a whole number"
            raise InputError(f"{name} is {value!r}; accepted: {accepted}")
    return found
