"""Checks of the order itself: size, price, session, grid, and whether its value makes sense."""

from decimal import Decimal

from jts_trading.domain.market.admission import Admission, OrderFacts, admit
from jts_trading.domain.market.binance import BinanceFilters, BinanceVerdict, admit_order
from jts_trading.domain.market.costs import Side
from jts_trading.domain.market.loading import default_table
from jts_trading.domain.market.phases import Phase
from jts_trading.domain.orders import OrderSide
from jts_trading.domain.sessions import phases_at
from jts_trading.risk.case import KOREAN_VENUES, ZERO, Case, MissingFactError, known
from jts_trading.risk.facts import KrxRules
from jts_trading.risk.verdict import Finding

_NEVER_CLOSED = frozenset({"UPBIT", "BINANCE"})
_OPEN_PHASES = frozenset(
    {
        Phase.OPENING_AUCTION,
        Phase.CONTINUOUS,
        Phase.CLOSING_AUCTION,
        Phase.PRE_MARKET,
        Phase.MAIN_MARKET,
        Phase.AFTER_MARKET,
    }
)
# A price that is this many times the base price of the day is in another unit.
_UNIT_FACTOR = 10
_NS_PER_S = 1_000_000_000


def size(case: Case) -> Finding:
    """R01: quantity and value of one order. What reduces is bounded by its position (R15)."""
    order, limits = case.order, case.limits
    figures = {"quantity": str(order.quantity), "currency": order.currency}
    if not order.quantity.is_finite() or order.quantity <= 0:
        return failed("R01", f"quantity {order.quantity} is not above 0", figures)
    if case.reduces:
        return passed("R01", figures)
    quantity_max = limits.order_quantity_max
    if quantity_max is not None:
        figures["quantity_max"] = str(quantity_max)
        if order.quantity > quantity_max:
            return failed("R01", f"quantity {order.quantity} is above {quantity_max}", figures)
    value_max = known(
        limits.order_value_max.get(order.currency), f"limit of an order in {order.currency}"
    )
    value = case.value()
    figures |= {"value": str(value), "value_max": str(value_max)}
    if value > value_max:
        return failed("R01", f"value {value} {order.currency} is above {value_max}", figures)
    return passed("R01", figures)


def collar(case: Case) -> Finding:
    """R02: distance of the price from the newest trade, and the price band of the venue."""
    order, note = case.order, case.price
    reach = case.limits.price_collar * note.price
    figures = {"reference": str(note.price), "collar": str(case.limits.price_collar)}
    if order.price is None:
        return _market_collar(case, reach, figures)
    figures["price"] = str(order.price)
    if not order.price.is_finite() or order.price <= 0:
        return failed("R02", f"price {order.price} is not above 0", figures)
    if abs(order.price - note.price) > reach:
        reason = f"price {order.price} is further than {reach} from {note.price}"
        return failed("R02", reason, figures)
    band = case.band()
    if band is None:
        return passed("R02", figures)
    figures |= {"lower": str(band.lower), "upper": str(band.upper)}
    if not band.lower <= order.price <= band.upper:
        reason = f"price {order.price} is outside {band.lower} to {band.upper}"
        return failed("R02", reason, figures)
    return passed("R02", figures)


def _market_collar(case: Case, reach: Decimal, figures: dict[str, str]) -> Finding:
    quote = case.price.ask if case.is_buy else case.price.bid
    if case.reduces or quote is None:
        # An exit must be possible in a wide market; without a book the age of the price bounds.
        return passed("R02", figures)
    figures["opposite_quote"] = str(quote)
    if abs(quote - case.price.price) > reach:
        reason = f"a market order would meet {quote}, further than {reach} from the last trade"
        return failed("R02", reason, figures)
    return passed("R02", figures)


def price_age(case: Case) -> Finding:
    """R03: age of the newest trade. What reduces may use a remembered price of any age."""
    note = case.price
    limit_s = known(
        case.limits.price_age_s_max.get(case.order.venue), f"age limit of {case.order.venue}"
    )
    age_s = Decimal(case.now_ns - note.ts_event_ns) / _NS_PER_S
    limit = case.aged(limit_s)
    figures = {
        "age_s": str(age_s),
        "age_s_max": str(limit),
        "is_shared": str(case.facts.is_price_shared),
    }
    if note.price <= 0:
        return failed("R03", f"the newest price is {note.price}", figures)
    if case.reduces:
        return passed("R03", figures)
    if not case.facts.is_price_shared:
        return failed("R03", "the shared state does not tell prices", figures)
    if abs(age_s) > limit:
        return failed("R03", f"the newest trade is {age_s} s old, at most {limit} s", figures)
    return passed("R03", figures)


def session(case: Case) -> Finding:
    """R13: whether the venue takes orders now, by its calendar."""
    venue = case.order.venue
    if venue in _NEVER_CLOSED:
        return passed("R13", {"venue": venue})
    if venue not in KOREAN_VENUES:
        return failed("R13", f"the sessions of {venue} are not known here", {"venue": venue})
    phases = phases_at(venue, case.now_ns)
    figures = {"venue": venue, "phases": "|".join(phases)}
    if not _OPEN_PHASES & set(phases):
        return failed("R13", f"{venue} takes no orders now ({'|'.join(phases)})", figures)
    return passed("R13", figures)


def grid(case: Case) -> Finding:
    """R14: tick, lot, smallest value, order type: the venue's own admission."""
    rules = case.facts.rules
    if rules is None:
        raise MissingFactError("rules of the instrument")
    verdict = (
        _admitted_korean(case, rules) if isinstance(rules, KrxRules) else _filtered(case, rules)
    )
    figures = {"verdict": verdict, "rules": str(rules)}
    if verdict != Admission.ACCEPT:
        return failed("R14", f"{case.order.venue} would refuse: {verdict}", figures)
    return passed("R14", figures)


def sanity(case: Case) -> Finding:
    """R18: an amount in the wrong unit: more than the account is worth, or a price ten times off.

    What reduces is bounded by its position.
    """
    if case.reduces:
        return passed("R18", {})
    value, equity = case.order.quantity * case.worst_price(), case.equity()
    figures = {"worst_value": str(value), "equity": str(equity)}
    if value > equity:
        return failed("R18", f"it may cost {value}, the account is worth {equity}", figures)
    reference = case.price.reference
    if reference is not None and reference > ZERO:
        figures["day_reference"] = str(reference)
        ratio = case.price.price / reference
        if not Decimal(1) / _UNIT_FACTOR <= ratio <= _UNIT_FACTOR:
            reason = f"price {case.price.price} against base price {reference}: another unit"
            return failed("R18", reason, figures)
    return passed("R18", figures)


def passed(check: str, figures: dict[str, str]) -> Finding:
    """Return a finding that lets the order through."""
    return Finding(check=check, is_passed=True, figures=figures)


def failed(check: str, reason: str, figures: dict[str, str]) -> Finding:
    """Return a finding that denies the order."""
    return Finding(check=check, is_passed=False, reason=reason, figures=figures)


def _admitted_korean(case: Case, rules: KrxRules) -> str:
    order = case.order
    if order.quantity % 1:
        return Admission.LOT
    if order.price is not None and order.price % 1:
        return Admission.TICK
    reference = case.price.reference
    return admit(
        default_table(),
        OrderFacts(
            day=case.day,
            venue=order.venue,
            market=rules.market,
            asset=rules.asset,
            side=Side.BUY if order.side is OrderSide.BUY else Side.SELL,
            quantity=int(order.quantity),
            price=None if order.price is None else int(order.price),
            reference=None if reference is None else int(reference),
        ),
    )


def _filtered(case: Case, filters: BinanceFilters) -> str:
    order = case.order
    price = order.price
    if price is None:
        # A market order has no price to be on a grid; its value is judged at the newest trade.
        step = filters.tick
        price = case.price.price
        price = price - price % step if step else price
    verdict = admit_order(filters, price, order.quantity)
    return Admission.ACCEPT if verdict is BinanceVerdict.ACCEPT else verdict
