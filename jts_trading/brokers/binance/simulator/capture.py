"""What the simulated streams say: captured lines, moved ones, or made-up ones.

A captured line is our receive time in ns, a space, and the message as the venue sent it. The first
line without a stream is the snapshot that its client asked for. The receive clock of a capture may
run beside the venue's: ours that are used here runs 1.27 s behind.

Moved lines keep every amount. Their times follow the clock of the instance, without that skew, and
their numbers go on from one round to the next, as the venue's would; where a round begins again
the book does not fit the one before, so every connection ends there, as when the venue restarts.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from jts_trading.brokers.binance import wire
from jts_trading.domain.errors import TerminalError

NS_PER_MS = 1_000_000
# A round begins a moment after the one before it.
_BREAK_NS = 1_000_000_000
# Rounds are counted from 2001 on, so that numbers only ever grow.
_ROUNDS_FROM_NS = 978_307_200 * 1_000_000_000
_HEAD = b'{"stream":"'


class CaptureError(TerminalError):
    """The data cannot be played; the message says what was found."""


class Line(NamedTuple):
    """One message of the tape.

    Attributes:
        due_ns: When it is sent, UTC ns.
        stream: Which stream it is of; that of a snapshot is our own name and sent to nobody.
        raw: The combined message; of a snapshot the answer of REST.
        begins_round: Whether connections end before it.
    """

    due_ns: int
    stream: str
    raw: bytes
    begins_round: bool = False


class Span(NamedTuple):
    """What one look through a capture finds.

    Attributes:
        first_ns: Time of the first line, UTC ns.
        last_ns: Of the last one.
        skew_ns: By how much the venue's clock ran ahead of the receiver's, at most.
        trades: First and last trade number.
        updates: First and last update id.
        symbol: Whose streams they are.
    """

    first_ns: int
    last_ns: int
    skew_ns: int
    trades: tuple[int, int]
    updates: tuple[int, int]
    symbol: str


def capture_files(data: Path) -> list[Path]:
    """Return the spot captures of a data folder in the order of time.

    Raises:
        CaptureError: There is none.
    """
    files = sorted((data / "crypto" / "binance_ws_raw").glob("spot_*.jsonl.gz"))
    if not files:
        raise CaptureError(f"{data}: no capture; accepted: crypto/binance_ws_raw/spot_*.jsonl.gz")
    return files


def read_lines(files: Sequence[Path]) -> Iterator[Line]:
    """Yield captured lines, byte for byte.

    Raises:
        CaptureError: A line is not of the form above; the message says which.
    """
    symbol = ""
    for file in files:
        with gzip.open(file, "rb") as source:
            for number, line in enumerate(source, 1):
                stamp, _, raw = line.rstrip(b"\n").partition(b" ")
                if not stamp.isdigit() or not raw.startswith(b"{"):
                    raise CaptureError(f"{file}:{number}: accepted: ns, a space, a message")
                stream = _stream_of(raw)
                symbol = stream.partition("@")[0] or symbol
                # Who asked for a snapshot knew of what; a line before it says so, too.
                yield Line(int(stamp), stream or f"{symbol}@{wire.STREAM_SNAPSHOT}", raw)


def survey(files: Sequence[Path]) -> Span:
    """Look through a capture once.

    Raises:
        CaptureError: It has no trade or no book.
    """
    first_ns = last_ns = skew_ns = 0
    trades: list[int] = []
    updates: list[int] = []
    symbol = ""
    for line in read_lines(files):
        first_ns, last_ns = first_ns or line.due_ns, line.due_ns
        kind = line.stream.partition("@")[2]
        if kind == wire.STREAM_TRADE:
            trade = _DECODERS[kind].decode(line.raw).data
            trades = [trades[0] if trades else trade.trade_id, trade.trade_id]
            skew_ns = max(skew_ns, trade.event_ms * NS_PER_MS - line.due_ns)
            symbol = trade.symbol
        elif kind == wire.STREAM_DEPTH:
            depth = _DECODERS[kind].decode(line.raw).data
            updates = [updates[0] if updates else depth.first_id, depth.last_id]
            skew_ns = max(skew_ns, depth.event_ms * NS_PER_MS - line.due_ns)
    if not trades or not updates:
        raise CaptureError(f"{files[0].parent}: no trades or no books in the capture")
    return Span(
        first_ns,
        last_ns,
        skew_ns,
        (trades[0], trades[1]),
        (updates[0], updates[1]),
        symbol,
    )


def moved_lines(files: Sequence[Path], span: Span, now_ns: int) -> Iterator[Line]:
    """Yield a capture again and again on the instance's time, all numbers growing.

    Which line is due at an instant depends on the instant alone, so a simulator that starts again
    goes on as if it had never been away. Begins with the round that is under way.

    Args:
        files: The capture.
        span: Of it.
        now_ns: Instance time, UTC ns, in this century.
    """
    round_ns = span.last_ns - span.first_ns + _BREAK_NS
    round_number = (now_ns - _ROUNDS_FROM_NS) // round_ns
    begins_round = False
    while True:
        by_ns = _ROUNDS_FROM_NS + round_number * round_ns - span.first_ns
        shift = _Shift(
            # Times are whole milliseconds: rounded down, nothing is dated ahead of its sending.
            ms=(by_ns - span.skew_ns) // NS_PER_MS,
            trades=round_number * (span.trades[1] - span.trades[0] + 1),
            updates=round_number * (span.updates[1] - span.updates[0] + 1),
        )
        for line in read_lines(files):
            yield Line(line.due_ns + by_ns, line.stream, _moved(line, shift), begins_round)
            begins_round = False
        round_number += 1
        begins_round = True


class _Shift(NamedTuple):
    ms: int
    trades: int
    updates: int


def _moved(line: Line, shift: _Shift) -> bytes:
    """Return a message with its times and numbers moved; field order and amounts stay."""
    message: dict[str, Any] = msgspec.json.decode(line.raw)
    if "lastUpdateId" in message:
        message["lastUpdateId"] += shift.updates
        return msgspec.json.encode(message)
    fields = message["data"]
    for name in ("E", "T"):
        if name in fields:
            fields[name] += shift.ms
    if "t" in fields:
        fields["t"] += shift.trades
    for name in ("U", "u"):
        if name in fields:
            fields[name] += shift.updates
    return msgspec.json.encode(message)


def _stream_of(raw: bytes) -> str:
    if not raw.startswith(_HEAD):
        return ""
    return raw[len(_HEAD) : raw.index(b'"', len(_HEAD))].decode()


class _TradeLine(msgspec.Struct):
    data: wire.Trade


class _DepthLine(msgspec.Struct):
    data: wire.Depth


_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    wire.STREAM_TRADE: msgspec.json.Decoder(_TradeLine),
    wire.STREAM_DEPTH: msgspec.json.Decoder(_DepthLine),
}
