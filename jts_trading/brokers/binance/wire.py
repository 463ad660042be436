"""What Binance spells on streams and public REST, field by field (brokers/binance 4 and 7).

Amounts are JSON strings, ids and times are integers. Fields that we do not read are left out:
the venue adds some often, and unknown ones are ignored.
"""

import msgspec

STREAM_TRADE = "trade"
STREAM_QUOTE = "bookTicker"
STREAM_DEPTH = "depth@100ms"
# Our own name: snapshots are answers of REST that are kept among the frames.
STREAM_SNAPSHOT = "depthSnapshot"
SHUTDOWN_STREAM = "!serverShutdown"
Level = tuple[str, str]


class Trade(msgspec.Struct, frozen=True):
    """`<symbol>@trade`.

    {"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000",
     "q":"0.02000000","T":1723161255342,"m":true,"M":true}

    Attributes:
        trade_id: Counts the trades of the symbol without gaps.
        is_buyer_maker: The seller crossed the spread.
    """

    symbol: str = msgspec.field(name="s")
    event_ms: int = msgspec.field(name="E")
    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    quantity: str = msgspec.field(name="q")
    trade_ms: int = msgspec.field(name="T")
    is_buyer_maker: bool = msgspec.field(name="m")


class Quote(msgspec.Struct, frozen=True):
    """`<symbol>@bookTicker`: the best prices; the venue puts no time on them.

    {"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000",
     "A":"1.54698000"}
    """

    update_id: int = msgspec.field(name="u")
    symbol: str = msgspec.field(name="s")
    bid: str = msgspec.field(name="b")
    bid_quantity: str = msgspec.field(name="B")
    ask: str = msgspec.field(name="a")
    ask_quantity: str = msgspec.field(name="A")


class DepthIds(msgspec.Struct, frozen=True):
    """As much of a depth event as following it needs."""

    symbol: str = msgspec.field(name="s")
    first_id: int = msgspec.field(name="U")
    last_id: int = msgspec.field(name="u")


class Depth(msgspec.Struct, frozen=True):
    """`<symbol>@depth@100ms`: new quantities at prices; 0 removes the price.

    {"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,"u":50093239202,
     "b":[["61737.63000000","0.00000000"]],"a":[["61837.64000000","1.54698000"]]}
    """

    symbol: str = msgspec.field(name="s")
    event_ms: int = msgspec.field(name="E")
    first_id: int = msgspec.field(name="U")
    last_id: int = msgspec.field(name="u")
    bids: tuple[Level, ...] = msgspec.field(name="b")
    asks: tuple[Level, ...] = msgspec.field(name="a")


class Snapshot(msgspec.Struct, frozen=True):
    """`/api/v3/depth`.

    {"lastUpdateId":50093239218,"bids":[["61837.63000000","3.78826000"]],"asks":[...]}
    """

    last_id: int = msgspec.field(name="lastUpdateId")
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Combined(msgspec.Struct, frozen=True):
    """A message of a combined stream: `{"stream":"btcusdt@trade","data":{...}}`."""

    stream: str
    data: msgspec.Raw


class ControlError(msgspec.Struct, frozen=True):
    """Why a control message was refused."""

    code: int = 0
    msg: str = ""


class Control(msgspec.Struct, frozen=True):
    """The answer to a control message, or an error without one.

    {"result":null,"id":1}   {"error":{"code":2,"msg":"Invalid request: ..."},"id":1}
    {"code":2,"msg":"Invalid request: ..."}

    Attributes:
        id: Number of the message; None where the venue leaves it out.
    """

    id: int | None = None
    error: ControlError | None = None
    code: int = 0
    msg: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """`{"code":-1121,"msg":"Invalid symbol."}`."""

    code: int
    msg: str = ""


class ServerTime(msgspec.Struct, frozen=True):
    """`/api/v3/time`."""

    server_ms: int = msgspec.field(name="serverTime")


class Filter(msgspec.Struct, frozen=True, rename="camel"):
    """One filter of a symbol; fields of other kinds are left out."""

    filter_type: str
    tick_size: str = "0"
    step_size: str = "0"
    min_notional: str = "0"


class SymbolRules(msgspec.Struct, frozen=True, rename="camel"):
    """One symbol of `exchangeInfo`."""

    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    filters: tuple[Filter, ...] = ()


class ExchangeRules(msgspec.Struct, frozen=True, rename="camel"):
    """`/api/v3/exchangeInfo`."""

    server_time: int
    symbols: tuple[SymbolRules, ...]


class DayTicker(msgspec.Struct, frozen=True, rename="camel"):
    """`/api/v3/ticker/24hr` of one symbol."""

    symbol: str
    prev_close_price: str
    last_price: str
    bid_price: str
    ask_price: str
    open_price: str
    high_price: str
    low_price: str
    volume: str
