"""Which column of a file is which column of a bar."""

from collections.abc import Sequence

from storage.errors import InputError

# Names seen in vendors' files, best first; Korean ones as pykrx and Creon exports write them.
_ALIASES: dict[str, tuple[str, ...]] = {
    "timestamp": (
        "timestamp", "ts", "datetime", "time", "open_time", "date", "날짜", "일자", "일시",
    ),
    "session_date": ("session_date", "trade_date"),
    "venue": ("venue", "exchange"),
    "symbol": ("symbol", "ticker", "code", "종목코드", "티커", "단축코드"),
    "broker": ("broker",),
    "interval": ("interval", "timeframe"),
    "open": ("open", "시가", "opening_price"),
    "high": ("high", "고가", "high_price"),
    "low": ("low", "저가", "low_price"),
    "close": ("close", "종가", "trade_price"),
    "volume": ("volume", "거래량", "vol", "candle_acc_trade_volume"),
    "bid": ("bid",),
    "ask": ("ask",),
}  # fmt: skip
FIELDS = tuple(_ALIASES)
REQUIRED = ("timestamp", "open", "high", "low", "close", "volume")


def parse_mapping(text: str) -> dict[str, str]:
    """Read `timestamp=date,close=Close` into field -> column.

    Raises:
        InputError: A pair is not `field=column`, a field is unknown, or something comes twice.
    """
    mapping: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, column = (part.strip() for part in pair.partition("="))
        if not equals or not column:
            raise InputError(f"mapping {pair!r}: accepted is field=column, such as close=Close")
        if name not in FIELDS:
            raise InputError(
                f"mapping {pair!r}: unknown field {name!r}; known: {', '.join(FIELDS)}"
            )
        if name in mapping:
            raise InputError(f"mapping names the field {name!r} twice")
        if column in mapping.values():
            raise InputError(f"mapping uses the column {column!r} twice")
        mapping[name] = column
    return mapping


def resolve_columns(
    path: str, columns: Sequence[str], mapping: dict[str, str], given: set[str]
) -> dict[str, str]:
    """Return field -> column for every field that the file has.

    Args:
        path: For messages.
        columns: The file's columns.
        mapping: What the user named; the rest is found by known names, in any case.
        given: Fields whose value an option supplies, so that the file need not.

    Raises:
        InputError: A named column is not there, a needed field is not found, or two columns
            answer to the same name.
    """
    for name, column in mapping.items():
        if column not in columns:
            raise InputError(
                f"{path}: mapping {name}={column}: no such column; found: {_listed(columns)}"
            )
    found = dict(mapping)
    free = [column for column in columns if column not in mapping.values()]
    for name in FIELDS:
        known = None if name in found else _find(path, name, free)
        if known is not None:
            found[name] = known
    missing = [name for name in (*REQUIRED, "symbol") if name not in found and name not in given]
    if missing:
        hint = "; a file of one symbol takes --symbol" if missing == ["symbol"] else ""
        raise InputError(
            f"{path}: no column for {', '.join(missing)}; found: {_listed(columns)};"
            f" name them with --mapping {missing[0]}=COLUMN{hint}"
        )
    return found


def _find(path: str, name: str, columns: Sequence[str]) -> str | None:
    for alias in _ALIASES[name]:
        matches = [column for column in columns if column.strip().lower() == alias]
        if len(matches) > 1:
            raise InputError(f"{path}: columns {_listed(matches)} all mean {name}; use --mapping")
        if matches:
            return matches[0]
    return None


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(columns[:20])
    return f"{shown} …" if len(columns) > 20 else shown
