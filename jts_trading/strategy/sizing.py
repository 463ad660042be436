"""How many units an order buys: whole-number functions, the same in a backtest and live.

Every function takes and returns `int`: money in the smallest unit of its currency (won), prices
in the same unit per share, shares of a whole in ppm (millionths: 5 % is 50,000). They are plain
Python, so that a daemon calls them as they are; a backtest compiles the text of this module.
So they use nothing but integer arithmetic, and products are staged such that they stay
inside 64 bits for money up to `MONEY_MAX`. Python and compiled results are equal.
"""

PPM = 1_000_000
NANO = 1_000_000_000
MONEY_MAX = 9_000_000_000_000
"""Largest equity that the 64-bit arithmetic is proven for: nine trillion won."""

QUANTITY_PERCENT = 0
QUANTITY_SHARES = 1
QUANTITY_MONEY = 2
QUANTITY_ALL = 3
QUANTITY_KELLY = 4


def share_of(amount: int, ppm: int) -> int:
    """Return floor(amount x ppm / 1,000,000) without leaving 64 bits."""
    return (amount // PPM) * ppm + (amount % PPM) * ppm // PPM


def part_of(amount: int, part: int, whole: int) -> int:
    """Return floor(amount x part / whole) without leaving 64 bits.

    Args:
        amount: Not negative.
        part: From 0 to `whole`.
        whole: Above zero, below 2^62.
    """
    rest, over, found = amount % whole, 0, 0
    # The product is added up by the binary digits of the part, and divided on the way.
    for digit in range(62):
        over, found = 2 * over, 2 * found
        if over >= whole:
            over, found = over - whole, found + 1
        if part >> (61 - digit) & 1 == 1:
            over += rest
            if over >= whole:
                over, found = over - whole, found + 1
    return amount // whole * part + found


def commission_of(gross: int, fee: tuple[int, int]) -> int:
    """Return the commission on a gross amount, rounded down to the unit of the fee.

    Args:
        gross: Price times quantity, in won.
        fee: Rate in billionths (0.0140527 % is 140,527) and rounding unit in won, usually 1.
    """
    rate, unit = fee
    found = (gross // NANO) * rate + (gross % NANO) * rate // NANO
    return found - found % unit


def buying_cost(quantity: int, price: int, fee: tuple[int, int]) -> int:
    """Return what a purchase takes out of the cash: gross amount and commission, in won."""
    gross = quantity * price
    return gross + commission_of(gross, fee)


def affordable_quantity(
    quantity: int, price: int, lot: int, cash: int, fee: tuple[int, int]
) -> int:
    """Return the largest number of whole lots, at most `quantity`, that `cash` can pay for.

    Args:
        quantity: Wanted quantity.
        price: Price at which the cash is reserved (a market buy: the upper limit), above zero.
        lot: Smallest tradable quantity, above zero.
        cash: Money that no other order has reserved; nothing is affordable at or below zero.
        fee: See `commission_of`.
    """
    if cash <= 0 or quantity <= 0:
        return 0
    whole = NANO + fee[0]
    gross = (cash // whole) * NANO + (cash % whole) * NANO // whole
    found = min(quantity, gross // price)
    found -= found % lot
    # The commission is rounded down, so a lot more may fit: at most a few won's worth.
    while found + lot <= quantity and buying_cost(found + lot, price, fee) <= cash:
        found += lot
    return found


def wanted_quantity(kind: int, amount: int, equity: int, price: int) -> int:
    """Return the quantity that a rule asks for, before the position cap, the lot and the cash.

    Args:
        kind: One of the `QUANTITY_...` constants; Kelly is given as its share of equity.
        amount: Share of equity in ppm (percent, Kelly), a number of shares, or won (money).
        equity: Equity of the strategy instance, marked at the decision bar.
        price: Decision price, above zero.
    """
    if kind == QUANTITY_SHARES:
        return amount
    if kind == QUANTITY_MONEY:
        return amount // price
    return share_of(max(equity, 0), amount) // price


def capped_quantity(  # noqa: PLR0917 - compiled code is called by position
    quantity: int, equity: int, price: int, cap_ppm: int, lot: int, held: int
) -> int:
    """Return what `max_position_size` leaves of a quantity, rounded down to the lot.

    Args:
        quantity: Wanted quantity.
        equity: As for `wanted_quantity`.
        price: Likewise.
        cap_ppm: Largest share of equity that the whole position may have; 0 for no cap.
        lot: Smallest tradable quantity.
        held: What the position has already.
    """
    if cap_ppm > 0:
        quantity = min(quantity, max(share_of(max(equity, 0), cap_ppm) // price - held, 0))
    return quantity - quantity % lot


def exit_quantity(kind: int, wanted: int, held: int, lot: int) -> int:
    """Return how much of a held position an exit sells; "all" and Kelly sell all of it.

    The last odd units of a position go with the exit that would leave less than a lot.

    Args:
        kind: How the rule gives its quantity.
        wanted: What `wanted_quantity` says for the other kinds.
        held: The position of the instance in the instrument.
        lot: Smallest tradable quantity.
    """
    if kind in (QUANTITY_ALL, QUANTITY_KELLY):
        return held
    sold = min(wanted, held)
    sold -= sold % lot
    return held if held - sold < lot else sold


def kelly_share(closed: int, won: int, profit: int, loss: int) -> int:
    """Return the full Kelly share of equity in ppm, from the closed trades of the instance.

    With W = won / closed, A = profit / won (mean win) and B = loss / (closed - won) (mean loss),
    Kelly's W - (1 - W) / (A / B) equals W x (1 - loss / profit). A trade that ends at zero counts
    as lost. Without an edge (profit <= loss) the share is zero: such a strategy does not bet.

    Args:
        closed: Closed trades so far.
        won: Those with a net profit.
        profit: Sum of the net profits, in won, not negative.
        loss: Sum of the net losses, in won, not negative.
    """
    if closed == 0 or profit <= loss:
        return 0
    scale = profit // MONEY_MAX + 1
    edge_ppm = (profit - loss) // scale * PPM // (profit // scale)
    return won * edge_ppm // closed


def kelly_entry_share(
    record: tuple[int, int, int, int], settings: tuple[int, int, int, int]
) -> int:
    """Return the share of equity in ppm that a Kelly entry takes now.

    Args:
        record: Closed trades, won ones, sum of profits, sum of losses: see `kelly_share`.
        settings: Closed trades before the formula is used, share of equity until then, fraction
            of the full Kelly share that is taken after, largest share; shares in ppm.
    """
    closed_min, floor_ppm, fraction_ppm, cap_ppm = settings
    closed, won, profit, loss = record
    if closed < closed_min:
        return floor_ppm
    return min(kelly_share(closed, won, profit, loss) * fraction_ppm // PPM, cap_ppm)
