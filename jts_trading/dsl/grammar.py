"""The words of the language: the only module that knows a keyword.

    strategy   = "strategy" "(" text ")" "{" { block } "}"
    block      = "params" "{" { name "=" literal [ range ] } "}"
               | "timeframes" "{" { name "=" duration } "}"
               | "indicators" "{" { definition | "on" name "{" { definition } "}" } "}"
               | "sources" "{" { name ":" name "[" number ".." number "]" } "}"
               | ( "entry" | "exit" ) "." ( "long" | "short" ) "{" { when } "}"
               | "surge_detection" "{" { when } "}"
               | "risk_management" "{" { name "=" literal } "}"
               | "universe" "{" { name "=" ( text | "[" text { "," text } "]" ) | expression } "}"
               | "require" "quality" [ "within" number ]
               | "rank" "by" expression
    range      = "in" literal ".." literal [ "step" literal ]
    definition = name "=" expression
    when       = "when" "(" expression ")" "{" { action } "}"
    action     = name "(" [ argument { "," argument } ] ")"
    argument   = [ name ":" ] ( expression | text | object )
    object     = "{" [ name ":" expression { "," name ":" expression } ] "}"
    expression = and-chain { "or" and-chain }          and-chain = negation { "and" negation }
    negation   = [ "not" ] comparison
    comparison = sum [ ( ">" | ">=" | "<" | "<=" | "==" | "!=" ) sum
                     | "crosses" ( "above" | "below" ) sum
                     | [ "not" ] "between" "[" sum "," sum "]" ]
    sum        = product { ( "+" | "-" ) product }     product = unary { ( "*" | "/" ) unary }
    unary      = [ "-" | "+" ] postfix                 postfix = primary [ "[" sum "]" ]
    primary    = literal | "true" | "false" | "(" expression ")" | reference
               | name "(" arguments ")" [ "." name ]
    reference  = name { "." name }
    literal    = number | number "%" | number unit | number currency | hh:mm[:ss]
               | text of one of these

Words of expressions (and, or, not, crosses, ...) are read whatever their case. Comments run from
// or # to the end of the line. Commas between entries of a block are allowed.
"""

from enum import StrEnum
from types import MappingProxyType


class Word(StrEnum):
    """Words that structure a text."""

    STRATEGY = "strategy"
    ON = "on"
    WHEN = "when"
    AND = "and"
    OR = "or"
    NOT = "not"
    CROSSES = "crosses"
    ABOVE = "above"
    BELOW = "below"
    BETWEEN = "between"
    TRUE = "true"
    FALSE = "false"
    IN = "in"
    STEP = "step"
    REQUIRE = "require"
    QUALITY = "quality"
    WITHIN = "within"
    RANK = "rank"
    BY = "by"


# Words that cannot name anything of the user's: they continue or end an expression.
RESERVED = frozenset(
    {
        Word.STRATEGY,
        Word.ON,
        Word.WHEN,
        Word.AND,
        Word.OR,
        Word.NOT,
        Word.CROSSES,
        Word.BETWEEN,
        Word.TRUE,
        Word.FALSE,
        Word.IN,
    }
)


class Block(StrEnum):
    """What a block of a strategy is called."""

    PARAMS = "params"
    TIMEFRAMES = "timeframes"
    INDICATORS = "indicators"
    SOURCES = "sources"
    ENTRY_LONG = "entry.long"
    ENTRY_SHORT = "entry.short"
    EXIT_LONG = "exit.long"
    EXIT_SHORT = "exit.short"
    SURGE_DETECTION = "surge_detection"
    RISK_MANAGEMENT = "risk_management"
    UNIVERSE = "universe"


class Side(StrEnum):
    """What a rule does to a position."""

    ENTRY_LONG = "entry_long"
    ENTRY_SHORT = "entry_short"
    EXIT_LONG = "exit_long"
    EXIT_SHORT = "exit_short"


RULE_SIDES = MappingProxyType(
    {
        Block.ENTRY_LONG: Side.ENTRY_LONG,
        Block.ENTRY_SHORT: Side.ENTRY_SHORT,
        Block.EXIT_LONG: Side.EXIT_LONG,
        Block.EXIT_SHORT: Side.EXIT_SHORT,
        Block.SURGE_DETECTION: Side.ENTRY_LONG,
    }
)

# A rule of these blocks fires once and again only after its condition was not true for one bar.
EDGE_TRIGGERED = frozenset({Block.SURGE_DETECTION})
# Blocks that are judged on running minutes when the text declares no time frame.
MINUTE_BLOCKS = MappingProxyType({Block.SURGE_DETECTION: 60})


class ActionName(StrEnum):
    """What a rule can order."""

    BUY = "buy"
    SELL = "sell"
    CLOSE = "close"
    EXECUTE = "execute_immediately"


class Slot(StrEnum):
    """What an argument of an action sets."""

    QUANTITY = "quantity"
    TYPE = "type"
    PRICE = "price"
    STOP = "stop"
    BROKER = "broker"
    FORCE = "time_in_force"


_ORDER_ARGUMENTS = MappingProxyType(
    {
        "quantity": Slot.QUANTITY,
        "size": Slot.QUANTITY,
        "type": Slot.TYPE,
        "price": Slot.PRICE,
        "stop": Slot.STOP,
        "broker": Slot.BROKER,
        "time_in_force": Slot.FORCE,
        "tif": Slot.FORCE,
    }
)

ACTION_ARGUMENTS = MappingProxyType(dict.fromkeys(ActionName, _ORDER_ARGUMENTS))
# Which actions make sense where: a long position is entered by buying and left by selling.
ACTIONS_OF_SIDE = MappingProxyType(
    {
        Side.ENTRY_LONG: (ActionName.BUY, ActionName.EXECUTE),
        Side.ENTRY_SHORT: (ActionName.SELL, ActionName.EXECUTE),
        Side.EXIT_LONG: (ActionName.SELL, ActionName.CLOSE, ActionName.EXECUTE),
        Side.EXIT_SHORT: (ActionName.BUY, ActionName.CLOSE, ActionName.EXECUTE),
    }
)
ENTRY_SIDES = frozenset({Side.ENTRY_LONG, Side.ENTRY_SHORT})


class OrderType(StrEnum):
    """Types of order."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    """How long an order stays: for its session, not at all (ioc, fok), or until cancelled."""

    DAY = "day"
    IOC = "ioc"
    FOK = "fok"
    GTC = "gtc"


# The argument slots that a type of order must have, and may not have otherwise.
ORDER_PRICES = MappingProxyType(
    {
        OrderType.MARKET: frozenset[Slot](),
        OrderType.LIMIT: frozenset({Slot.PRICE}),
        OrderType.STOP: frozenset({Slot.STOP}),
        OrderType.STOP_LIMIT: frozenset({Slot.PRICE, Slot.STOP}),
    }
)

ALL_QUANTITY = "all"
KELLY_CALL = "calculate_kelly_criterion"
FASTEST_BROKER_CALL = "select_fastest_broker"
SOURCE_RANGE = "symbols"


class Measure(StrEnum):
    """What a literal measures."""

    NUMBER = "number"
    PERCENT = "percent"
    DURATION = "duration"
    MONEY = "money"
    TIME = "time of day"


class RiskKey(StrEnum):
    """Settings of the strategy's own risk block."""

    MAX_POSITION_SIZE = "max_position_size"
    TRAILING_STOP = "trailing_stop"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    DAILY_LOSS_LIMIT = "daily_loss_limit"
    MAX_POSITIONS = "max_positions"
    COOLDOWN = "cooldown"
    PYRAMIDING = "pyramiding"


# What each setting accepts: measures, lowest and highest value (percent as a fraction).
RISK_RANGES = MappingProxyType(
    {
        RiskKey.MAX_POSITION_SIZE: ((Measure.PERCENT,), "0.0001", "1"),
        RiskKey.TRAILING_STOP: ((Measure.PERCENT,), "0.0001", "0.9999"),
        RiskKey.STOP_LOSS: ((Measure.PERCENT,), "0.0001", "0.9999"),
        RiskKey.TAKE_PROFIT: ((Measure.PERCENT,), "0.0001", "100"),
        RiskKey.DAILY_LOSS_LIMIT: ((Measure.PERCENT,), "0.0001", "1"),
        RiskKey.MAX_POSITIONS: ((Measure.NUMBER,), "1", "10000"),
        RiskKey.COOLDOWN: ((Measure.DURATION, Measure.NUMBER), "1", "31536000"),
        RiskKey.PYRAMIDING: ((Measure.NUMBER,), "1", "100"),
    }
)


class UniverseKey(StrEnum):
    """What an instrument must be to be entered."""

    MARKET = "market"
    ASSET = "asset"
    SYMBOLS = "symbols"
    EXCLUDE = "exclude"


DURATION_SECONDS = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800})
CURRENCIES = frozenset({"KRW", "USD", "USDT", "BTC"})
# Functions of the language that are no indicators of their own.
CHOICE_WORDS = frozenset({"abs", "greatest", "least"})
FUNCTION_WORDS = frozenset({"since", str(Word.RANK), "change", *CHOICE_WORDS})
COMPARISONS = (">=", "<=", "==", "!=", ">", "<")
COLUMNS = ("open", "high", "low", "close", "volume")
# Columns that only bars with quotes have; (ask - bid) / mid, a percentage.
QUOTE_COLUMNS = ("spread",)
# Read by indicators only: the trading day, as days since 1970-01-01.
SESSION_COLUMN = "session"
# When the bar starts: minutes since the open of its session, the local time of day in seconds, and
# 1 where no continuous trading is on at that time.
MINUTES_COLUMN, TIME_COLUMN, AUCTION_COLUMN = "minutes_since_open", "time", "auction"
CLOCK_COLUMNS = (MINUTES_COLUMN, TIME_COLUMN, AUCTION_COLUMN)
# All that follows from the instant at which a bar starts, whatever the instrument.
INSTANT_COLUMNS = (SESSION_COLUMN, *CLOCK_COLUMNS)
# 1 on a bar that the lake marks as doubtful.
DOUBT_COLUMN = "doubt"
# Arguments of a compiled step beyond those that every one has, in this order.
EXTRA_COLUMNS = (*QUOTE_COLUMNS, *INSTANT_COLUMNS, DOUBT_COLUMN)
# What `session.` is followed by: the indicator and its output that it stands for.
SESSION_WORDS = MappingProxyType(
    {
        "open": ("SessionSoFar", "open"),
        "high": ("SessionSoFar", "high"),
        "low": ("SessionSoFar", "low"),
        "previous_open": ("PreviousSession", "open"),
        "previous_high": ("PreviousSession", "high"),
        "previous_low": ("PreviousSession", "low"),
        "previous_close": ("PreviousSession", "close"),
    }
)

TEXT_BYTES_MAX = 64 * 1024
NESTING_MAX = 32
NODES_MAX = 2_000
INDICATORS_MAX = 64
NAME_LENGTH_MAX = 64
NUMBER_DIGITS_MAX = 30
RULES_MAX = 62  # bits of a non-negative 64-bit mask
FRAMES_MAX = 16
HISTORY_MAX = 10_000
