"""What a fill costs: the account's commission and the taxes of a sale, by the dated rules. Pure.

One program for whoever books a fill: the reconciler, a simulated broker, the paper broker. Where a
broker tells its costs, those count and nothing is worked out. A commission of KRX belongs to the
trade date, the tax of a sale to the day on which it settles; each is floored to the won. A crypto
venue takes its commission from what the fill brings in: coins of a purchase, money of a sale.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

from jts_trading.domain.account_reports import FillNotice
from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.instruments import Asset, Market, Venue, parse_instrument_id
from jts_trading.domain.market.costs import CommissionProfile, floor_share, sale_tax
from jts_trading.domain.market.table import RuleTable
from jts_trading.domain.money import currency_unit
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import calendar_for

_ZERO = Decimal(0)
# Large enough that a commission floored to the unit is its rate to many digits.
_SAMPLE = Decimal(10) ** 12
_COIN_UNIT = Decimal("0.00000001")
_KOREAN = frozenset({Venue.KRX, Venue.NXT})
# What the table calls the rate of a trade, by the listing market of the instrument.
_CRYPTO_RATES = {Venue.BINANCE: "fee_default", Venue.UPBIT: "fee"}


class Listed(NamedTuple):
    """What the rules ask of an instrument: its market and its kind."""

    market: str = Market.KOSPI
    asset: str = Asset.COMMON


class FillCosts(NamedTuple):
    """Costs of one fill.

    Attributes:
        fee: Commission in the currency that the order is paid in.
        tax: Taxes of a sale, likewise.
        fee_quantity: What the venue keeps of the instrument itself.
    """

    fee: Decimal = _ZERO
    tax: Decimal = _ZERO
    fee_quantity: Decimal = _ZERO


@dataclass(frozen=True, slots=True)
class Trade:
    """What was traded, as far as costs depend on it.

    Attributes:
        day: Trade date in the venue's zone.
        gross: Price times quantity in whole units of the currency.
    """

    broker: str
    instrument_id: str
    currency: str
    side: OrderSide
    day: date
    quantity: Decimal
    gross: Decimal


def unlisted(instrument_id: str) -> Listed:
    """Return the commonest kind, for installations that keep no list of instruments."""
    del instrument_id
    return Listed()


@dataclass(frozen=True, slots=True)
class CostRules:
    """Works out costs.

    Attributes:
        table: The dated rules.
        listed: Market and kind by instrument id.
        profiles: The accounts' own commissions by broker; the published ones where there is none.
    """

    table: RuleTable
    listed: Callable[[str], Listed] = unlisted
    profiles: Mapping[str, CommissionProfile] = field(default_factory=dict)

    def of(self, trade: Trade) -> FillCosts:
        """Return what a trade costs.

        Raises:
            RuleMissingError: No rule prices it.
        """
        market = parse_instrument_id(trade.instrument_id).market
        if market in _KOREAN:
            return self._korean(trade)
        if market in _CRYPTO_RATES:
            return self._crypto(trade, market)
        raise RuleMissingError(f"no rule for the costs of {trade.instrument_id}")

    def purchase_rate(
        self, *, broker: str, instrument_id: str, currency: str, day: date
    ) -> Decimal:
        """Return the commission on a purchase that is paid in money, as a fraction.

        Raises:
            RuleMissingError: No rule prices it.
        """
        trade = Trade(broker, instrument_id, currency, OrderSide.BUY, day, _SAMPLE, _SAMPLE)
        return self.of(trade).fee / _SAMPLE

    def _korean(self, trade: Trade) -> FillCosts:
        listed = self.listed(trade.instrument_id)
        profile = self.profiles.get(trade.broker, CommissionProfile(trade.broker))
        rate = profile.rate(self.table, trade.day, venue=Venue.KRX, asset=listed.asset)
        fee = floor_share(int(trade.gross), rate, profile.unit_krw)
        if trade.side is OrderSide.BUY:
            return FillCosts(fee=Decimal(fee))
        settles = calendar_for(Venue.KRX).settlement_day(trade.day)
        tax = sale_tax(
            self.table, settles, int(trade.gross), market=listed.market, asset=listed.asset
        )
        return FillCosts(fee=Decimal(fee), tax=Decimal(tax.total))

    def _crypto(self, trade: Trade, market: Venue) -> FillCosts:
        rule = self.table.require(
            _CRYPTO_RATES[market], trade.day, venue=market, market=trade.currency, asset="*"
        )
        rate = Decimal(rule.value)
        if market is Venue.UPBIT or trade.side is OrderSide.SELL:
            unit = currency_unit(trade.currency)
            return FillCosts(fee=(trade.gross * rate).quantize(unit, ROUND_DOWN))
        kept = (trade.quantity * rate).quantize(_COIN_UNIT, ROUND_DOWN)
        return FillCosts(fee_quantity=kept)


def told_costs(notice: FillNotice) -> FillCosts | None:
    """Return the costs that a broker tells with a fill; None where it tells none."""
    if notice.fee is None and notice.tax is None and notice.fee_quantity is None:
        return None
    return FillCosts(notice.fee or _ZERO, notice.tax or _ZERO, notice.fee_quantity or _ZERO)
