"""Where things stand in the arrays of a desk: the column numbers that compiled passes share.

A desk packs what it knows into few arrays; `columns.Desk` says which. Money and prices are int64
units of the account, shares of a whole ppm.
"""

# Prices: one column each, so that what a bar has stands together.
OPEN, HIGH, LOW, CLOSE = 0, 1, 2, 3

# The rules of the desk: one row; and the size of each rule. What each means: `columns.Rules`.
ENTRIES, EXITS, MAX_POSITION, TRAILING_STOP, STOP_LOSS, TAKE_PROFIT = 0, 1, 2, 3, 4, 5
DAILY_LOSS, POSITIONS_MAX, COOLDOWN_MS, COOLDOWN_BARS = 6, 7, 8, 9
KELLY_MIN, KELLY_FLOOR, KELLY_FRACTION, KELLY_CAP, COMMISSION_UNIT = 10, 11, 12, 13, 14
# Whether masks of eight rows share a word of `Desk.fired`.
IS_PACKED = 15
# The rules that the guard of the plan has a say in.
GUARDED = 16
# The place in the values by which entries of one instant come, or -1.
RANK = 17
# How orders fill, see `modelled`: only read where a run asks for more than the next open.
FILL_AT, VOLUME_SHARE, SLIP_PPM, SLIP_TICKS, IMPACT_PPM, HAS_ROOT = 18, 19, 20, 21, 22, 23
EXITS_INSIDE, WAITS_SETTLEMENT = 24, 25
# Limits of the account, see `limits`: only read where a run has them.
LIMIT_VALUE, LIMIT_POSITION, LIMIT_GROSS, LIMIT_LOSS, LIMIT_DRAWDOWN = 26, 27, 28, 29, 30
# How many entries a position may have.
PYRAMIDING = 31
# The rules that sell short or cover; the ppm of what is sold that its owner holds back, of the
# value of a position that its collateral is to be at least, and of what is borrowed that a year
# costs; whether a short sale may not be below the trade before it.
SHORTS, SHORT_MARGIN, SHORT_COVER, BORROW_FEE, IS_UPTICK = 32, 33, 34, 35, 36
RULE_COLUMNS = 37
# The size of a rule, and its order: type, time in force, places of its prices in the values.
KIND, AMOUNT, TYPE, FORCE, LIMIT_PLACE, STOP_PLACE = 0, 1, 2, 3, 4, 5
SIZE_COLUMNS = 6
AT_OPEN, AT_CLOSE, AT_OPENING_AUCTION, AT_CLOSING_AUCTION = 0, 1, 2, 3
MARKET, LIMIT, STOP, STOP_LIMIT = 0, 1, 2, 3
DAY, IOC, FOK, GTC = 0, 1, 2, 3

# The costs of the desk, by session and class of instrument: `columns.Costs`.
COMMISSION, STT, RST = 0, 1, 2
COST_COLUMNS = 3

# Sessions: what the account had gained in cash and held at the last bar, the instant of that bar
# (-1: there is none), the group of price rules; in which session its sales are paid, what is paid
# in it, the last session of the run that is not after the next one of the venue, the first
# instant whose bar ends the session, its day since 1970-01-01, and whether short sales are banned.
SESSION_CASH, SESSION_VALUE, LAST_MOMENT, EPOCH, SETTLES, ARRIVES, UNTIL = 0, 1, 2, 3, 4, 5, 6
ENDS_FROM, DAY_NUMBER, IS_BANNED = 7, 8, 9
SESSION_COLUMNS = 10

# The account: one row. HELD counts positions and waiting purchases, POSITIONS positions only.
CASH, RESERVED, VALUE, DAY_START, HELD = 0, 1, 2, 3, 4
TRADES, CLOSED, WON, PROFIT, LOSS = 5, 6, 7, 8, 9
# What became of decisions that led to no order or no fill.
DROPPED, REDUCED, BLOCKED_BY_LOSS = 10, 11, 12
WITHOUT_EDGE, CANCELLED, BLOCKED_BY_RISK = 13, 14, 15
# How often a position was worth more than is exact: the run means nothing then.
BEYOND = 16
POSITIONS, HIGHEST_CLOSE, NOW, MARKED_AT, FILLS = 17, 18, 19, 20, 21
SESSION_NOW, MOST_SPENT = 22, 23
# Instruments that share the cash: the first of the group that runs, how many each group has, where
# the last group ends, and whether it has begun. Then what a group starts with, and what the groups
# before it left in cash and positions, and the sum of the most that each had spent.
GROUP, GROUP_SIZE, GROUPS_END, HAS_BEGUN = 24, 25, 26, 27
START_CASH, GAINED, LEFT_VALUE, SPENT = 28, 29, 30, 31
# Money of sales that is not paid yet; limit and stop orders that ended unfilled.
UNSETTLED, EXPIRED = 32, 33
# Entries that the limits of the account denied; up to which session they have followed the equity,
# the session after the one whose loss stopped it, the highest equity, whether entries have ended.
DENIED_VALUE, DENIED_EXPOSURE, DENIED_LOSS, DENIED_DRAWDOWN = 34, 35, 36, 37
FOLLOWED, DAY_STOPPED, HIGHEST, IS_LATCHED = 38, 39, 40, 41
# What pays for nothing until shares are given back; short sales that a ban forbade or ended.
PLEDGED, BANNED = 42, 43
ACCOUNT_COLUMNS = 44
WORTH_MAX = 1 << 53

# The book: one row per instrument. First its orders and position,
QUANTITY, ENTRY, PEAK, MARK, SIDE, WANTED, HELD_BACK, REASON = 0, 1, 2, 3, 4, 5, 6, 7
DECIDED, TRADE, TRADE_CASH, LEFT_AT, LEFT_ROW, HAS_LEFT = 8, 9, 10, 11, 12, 13
# then where its rows are (row + SHIFT is the place in `moments`) and which costs it has,
FIRST, END, SHIFT, CLASS = 14, 15, 16, 17
# then its next event, the row of its last mark and its place among the held ones,
NEXT_ROW, NEXT_PHASE, MARK_ROW, PLACE = 18, 19, 20, 21
# and the limits of the session in which it was last looked at; BASE is 0 where unknown.
BAND_SESSION, BASE, LOWER, UPPER = 22, 23, 24, 25
# The first row that the peak does not know.
PEAK_ROW = 26
# The row of the fill that opened the position.
ENTRY_ROW = 27
# Units of the account in one price step times one quantity step; units of a quantity in a text in
# one quantity step: 1 and 1 at KRX.
UNIT, QUANTUM = 28, 29
# The order that waits, where it may be more than one for the next open: its type, time in force,
# prices, last session, the first row on which it may fill, whether its stop was reached;
ORDER_TYPE, ORDER_FORCE, LIMIT_PRICE, STOP_PRICE, LAST_SESSION, TRIES_FROM = 30, 31, 32, 33, 34, 35
IS_TRIGGERED = 36
# and of the position: what was paid for what is held, the row of its newest purchase and whether
# that filled after the open of its bar.
COST, BOUGHT_ROW, IS_LATE = 37, 38, 39
# Its splits, rights issues and dividends: the first, the next, and where those of the following
# instrument begin.
FIRST_SPLIT, NEXT_SPLIT, END_SPLIT = 40, 41, 42
# Its delisting: the instant and phase in which what is left of it ends, at which price; and the
# first session without price limits, which all instruments have.
DELISTED_AT, DELISTED_PHASE, DELISTED_PRICE, FREE_FROM = 43, 44, 45, 46
# Entries of the position, whether the order that waits has bought nothing yet, and the newest row
# on which its exits were judged.
ENTRY_COUNT, IS_NEW, JUDGED_ROW = 47, 48, 49
# Of a position and of the entry that waits: 1 if it is long, -1 if it is short. What is pledged
# for a short one, the fee for its shares that is owed already, and the session up to which.
DIRECTION, COLLATERAL, FEE_OWED, FEE_SESSION = 50, 51, 52, 53
BOOK_COLUMNS = 54

BUY, SELL = 1, -1

# A fill: one row. Its rows are below zero where its instrument has no bar: -1 less the instant.
FILL_ROW, FILL_SIDE, FILL_QUANTITY, FILL_PRICE, FILL_COMMISSION = 0, 1, 2, 3, 4
FILL_STT, FILL_RST, FILL_REASON, FILL_DECIDED, FILL_TRADE = 5, 6, 7, 8, 9
FILL_INSTRUMENT = 10
FILL_COLUMNS = 11

# Reasons below are rule numbers.
REASON_STOP_LOSS, REASON_TRAILING_STOP, REASON_TAKE_PROFIT = 100, 101, 102
REASON_SPLIT, REASON_DIVIDEND, REASON_DELISTED = 103, 104, 105
REASON_MARGIN_CALL, REASON_BORROWED, REASON_RIGHTS = 106, 107, 108

# A split: the first row with new shares, how many old ones became how many new ones, and whose;
# a dividend: the first row without it, what a share is paid, and the ppm of it that are tax;
# a rights issue: the first row without the right, its base price and the close before it, and what
# the right of a share is worth. What is paid is whole won, and millionths of one. Last, which of
# them it is.
SPLIT_ROW, SPLIT_OLD, SPLIT_NEW, SPLIT_OF, SPLIT_PAID, SPLIT_PART = 0, 1, 2, 3, 4, 5
SPLIT_TAX, SPLIT_REASON = 6, 7
SPLIT_COLUMNS = 8

# Phases of one instant, in their order. Where orders fill at opens only, there are no late ones:
# `kernel_text` numbers the others on.
SALES, PURCHASES, LATE_PURCHASES, LATE_SALES = 0, 1, 2, 3
EXIT_DECISIONS, ENTRY_DECISIONS = 4, 5
# Of an instrument that is delisted when the data have ended.
AFTER_DECISIONS = 6
PHASE_BITS = 3

# Price rules of one class and epoch: lengths, the limit rate (without limits the share above the
# close up to which a purchase holds cash back), the smallest value of an order, then steps of
# ticks and lots as (from price, value) pairs.
STEPS, LOTS, RATE_ABOVE, RATE_BELOW, HAS_LIMITS, NOTIONAL_MIN, PAIRS = 0, 1, 2, 3, 4, 5, 6
"""Column of the first pair."""
# Every ladder and lot table of the rules has fewer steps than 16.
PRICE_RULE_COLUMNS = PAIRS + 4 * 16

# The facts of an instrument, see `strategy.facts`; behind them its smallest quantity.
FACTS_STEP = 14
