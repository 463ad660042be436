"""What a trade costs: transaction taxes by settlement date, commission by account, cash flow. KRW.

Commission belongs to the account profile, never to the market. Rounding is the uncertain part of
both (1 won per fill is the default); a statement of the broker decides.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from jts_trading.domain.errors import RuleMissingError
from jts_trading.domain.market.table import Basis, RuleTable


class Side(StrEnum):
    """Direction of an order or fill; SHORT sells what is borrowed."""

    BUY = "BUY"
    SELL = "SELL"
    SHORT = "SHORT"


@dataclass(frozen=True, slots=True)
class SaleTax:
    """Taxes that a seller pays, in won.

    Attributes:
        stt: Securities transaction tax.
        rst: Rural special tax (KOSPI shares only).
    """

    stt: int
    rst: int

    @property
    def total(self) -> int:
        """Both taxes."""
        return self.stt + self.rst


@dataclass(frozen=True, slots=True)
class TaxRates:
    """Fractions of the gross proceeds."""

    stt: Decimal
    rst: Decimal


def sale_tax_rates(
    table: RuleTable, settle_date: date, *, market: str, asset: str, venue: str = "KRX"
) -> TaxRates:
    """Return the rates for a sale that settles on a date (not: traded on it).

    Raises:
        RuleMissingError: No transaction tax rule covers the settlement date.
    """
    scope = {"venue": venue, "market": market, "asset": asset}
    stt = table.require("stt", settle_date, basis=Basis.SETTLE, **scope)
    # Only KOSPI shares carry the rural tax; the transaction tax row says that the case is known.
    rst = table.find("rst", settle_date, basis=Basis.SETTLE, **scope)
    return TaxRates(Decimal(stt.value), Decimal(rst.value) if rst else Decimal(0))


def sale_tax(
    table: RuleTable,
    settle_date: date,
    gross_krw: int,
    *,
    market: str,
    asset: str,
    venue: str = "KRX",
) -> SaleTax:
    """Return the taxes of one sale, each floored to the won.

    Raises:
        RuleMissingError: No transaction tax rule covers the settlement date.
        ValueError: The proceeds are negative.
    """
    rates = sale_tax_rates(table, settle_date, market=market, asset=asset, venue=venue)
    return SaleTax(floor_share(gross_krw, rates.stt), floor_share(gross_krw, rates.rst))


def floor_share(gross_krw: int, rate: Decimal, unit_krw: int = 1) -> int:
    """Return a share of an amount, floored to a unit of won.

    Raises:
        ValueError: The amount or the rate is negative.
    """
    if gross_krw < 0 or rate < 0:
        raise ValueError(f"amount {gross_krw} and rate {rate} must not be negative")
    return int(gross_krw * Fraction(rate)) // unit_krw * unit_krw


@dataclass(frozen=True, slots=True)
class CommissionRow:
    """One dated rate of an account; both dates inclusive, None is open."""

    venue: str
    asset: str
    rate: Decimal
    valid_from: date | None = None
    valid_to: date | None = None

    def covers(self, venue: str, asset: str, day: date) -> bool:
        """Return whether the row prices this trade."""
        return (
            self.venue == venue
            and self.asset == asset
            and (self.valid_from is None or self.valid_from <= day)
            and (self.valid_to is None or day <= self.valid_to)
        )


@dataclass(frozen=True, slots=True)
class CommissionProfile:
    """What one account pays its broker.

    Attributes:
        broker: Through whom the account trades.
        rows: Rates of the account's own contract; the broker's published ones when empty.
        unit_krw: Commissions are floored to this many won.
    """

    broker: str
    rows: tuple[CommissionRow, ...] = ()
    unit_krw: int = 1

    def rate(self, table: RuleTable, day: date, *, venue: str, asset: str) -> Decimal:
        """Return the rate of one side of a trade.

        Raises:
            RuleMissingError: Neither the contract nor the table prices it: configure the account.
        """
        for row in self.rows:
            if row.covers(venue, asset, day):
                return row.rate
        key = f"commission.{self.broker}"
        rule = None if self.rows else table.find(key, day, venue=venue, asset=asset)
        if rule is None:
            raise RuleMissingError(
                f"no rule for the commission of {self.broker} at {venue} for {asset} on {day};"
                " configure the account's own rate"
            )
        return Decimal(rule.value)


@dataclass(frozen=True, slots=True)
class CashFlow:
    """Money of one fill, in won; `net` is what the account gains (a buy is negative)."""

    gross: int
    commission: int
    tax: SaleTax
    net: int


def cash_flow(
    table: RuleTable,
    settle_date: date,
    *,
    side: Side,
    price: int,
    quantity: int,
    commission_rate: Decimal,
    market: str,
    asset: str,
    commission_unit_krw: int = 1,
) -> CashFlow:
    """Return the money of one fill.

    Raises:
        RuleMissingError: A sale has no tax rule for its settlement date.
        ValueError: Price or quantity is not above zero.
    """
    if price <= 0 or quantity <= 0:
        raise ValueError(f"price {price} and quantity {quantity} must be above 0")
    gross = price * quantity
    commission = floor_share(gross, commission_rate, commission_unit_krw)
    if side is Side.BUY:
        return CashFlow(gross, commission, SaleTax(0, 0), -gross - commission)
    tax = sale_tax(table, settle_date, gross, market=market, asset=asset)
    return CashFlow(gross, commission, tax, gross - commission - tax.total)
