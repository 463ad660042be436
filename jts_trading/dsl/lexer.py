"""Text to tokens, lazily: a refusal early in a text costs nothing for the rest.

Invariant: a token that leaves this module is ASCII, except the inside of a quoted text; names
start with a letter, so nothing that Python treats specially can be spelled.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from jts_trading.dsl.errors import Place, StrategyError, visible
from jts_trading.dsl.grammar import COMPARISONS, NAME_LENGTH_MAX, NUMBER_DIGITS_MAX, TEXT_BYTES_MAX


class TokenKind(StrEnum):
    """Kinds of token."""

    NAME = "name"
    NUMBER = "number"
    TIME = "time of day"
    TEXT = "text"
    SIGN = "sign"
    END = "end of text"


@dataclass(frozen=True, slots=True)
class Token:
    """A token: kind, text, offset in the text; `suffix` is what adheres to a number (%, m)."""

    kind: TokenKind
    text: str
    at: int
    suffix: str = ""


_SIGNS = ("..", *COMPARISONS, *"(){}[],.:=+-*/")
_TOKEN = re.compile(
    r"(?P<space>[ \t\n]+|//[^\n]*|\#[^\n]*)"
    r"|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<time>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?![0-9A-Za-z_])"
    r"|(?P<number>[0-9][0-9_]*(?:\.[0-9][0-9_]*)?)(?P<suffix>%|[A-Za-z][A-Za-z0-9_]*)?"
    r'|"(?P<text>[^"\n]*)"'
    r"|(?P<sign>" + "|".join(re.escape(sign) for sign in _SIGNS) + ")"
)

# What stands here for a sign that other languages have.
_INSTEAD = {
    ";": "a new line or a comma ends an entry",
    "&": "write and",
    "|": "write or",
    "!": "write not",
    "^": "write a product",
    "?": "write several when blocks",
}


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text with one kind of line end and without byte order mark, and its name for errors."""

    text: str
    file: str

    def place(self, at: int) -> Place:
        """Return line, column and excerpt of an offset."""
        line = self.text.count("\n", 0, at) + 1
        start = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", at)
        excerpt = self.text[start : len(self.text) if end < 0 else end]
        return Place(self.file, line, at - start + 1, excerpt)

    def refuse(self, message: str, at: int, hint: str = "") -> StrategyError:
        """Return the error for an offset; the caller raises it."""
        return StrategyError(message, self.place(at), hint=hint)


def read_text(text: str | bytes, file: str) -> SourceText:
    """Check size, encoding and characters of a text.

    Raises:
        StrategyError: It is over 64 KiB, not UTF-8, or holds invisible or control characters.
    """
    _check_size(text, file)
    decoded = _decode(text, file) if isinstance(text, bytes) else text
    decoded = decoded.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    source = SourceText(decoded, file)
    if not decoded.isascii():
        for at, character in enumerate(decoded):
            if character not in "\n\t" and unicodedata.category(character) in {"Cc", "Cf", "Cs"}:
                raise _invisible(source, at)
    else:
        for found in re.finditer(r"[\x00-\x08\x0b-\x1f\x7f]", decoded):
            raise _invisible(source, found.start())
    return source


def _invisible(source: SourceText, at: int) -> StrategyError:
    shown = visible(source.text[at])
    return source.refuse(f"character {shown} is not allowed anywhere in a strategy", at)


def _check_size(text: str | bytes, file: str) -> None:
    size = len(text)
    if isinstance(text, str) and size <= TEXT_BYTES_MAX:
        size = len(text.encode("utf-8", "surrogatepass"))
    if size <= TEXT_BYTES_MAX:
        return
    head = text[:TEXT_BYTES_MAX]
    head = head.decode("utf-8", "replace") if isinstance(head, bytes) else head
    place = SourceText(head, file).place(len(head))
    place = Place(file, place.line, place.column)
    raise StrategyError(
        f"the text has {size:,} bytes, the limit is {TEXT_BYTES_MAX:,} (64 KiB)", place
    )


def _decode(text: bytes, file: str) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        head = SourceText(text[: error.start].decode("utf-8"), file)
        place = head.place(len(head.text))
        found = text[error.start]
        raise StrategyError(
            f"byte 0x{found:02x} is not UTF-8 text", place, hint="save the file as UTF-8"
        ) from error


def tokens(source: SourceText) -> Iterator[Token]:
    """Yield the tokens of a text, then END for ever.

    Raises:
        StrategyError: A character starts no token, a text is not closed, a name or number is too
            long.
    """
    at = 0
    text = source.text
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unexpected(source, at)
        if match.lastgroup != "space":
            yield _token(source, match)
        at = match.end()
    while True:
        yield Token(TokenKind.END, "", len(text))


def pieces(source: SourceText) -> Iterator[tuple[int, str]]:
    """Yield offset and text of every token and comment, as they are written.

    Raises:
        StrategyError: A character starts no token.
    """
    at = 0
    while at < len(source.text):
        match = _TOKEN.match(source.text, at)
        if match is None:
            raise _unexpected(source, at)
        if match.group().strip():
            yield at, match.group().rstrip()
        at = match.end()


def _token(source: SourceText, match: re.Match[str]) -> Token:
    at = match.start()
    if (name := match["name"]) is not None:
        if len(name) > NAME_LENGTH_MAX:
            raise source.refuse(f"a name has at most {NAME_LENGTH_MAX} characters", at)
        return Token(TokenKind.NAME, name, at)
    if (clock := match["time"]) is not None:
        return Token(TokenKind.TIME, clock, at)
    if (number := match["number"]) is not None:
        if len(number) > NUMBER_DIGITS_MAX:
            raise source.refuse(f"a number has at most {NUMBER_DIGITS_MAX} digits", at)
        return Token(TokenKind.NUMBER, number.replace("_", ""), at, match["suffix"] or "")
    if (quoted := match["text"]) is not None:
        return Token(TokenKind.TEXT, quoted, at)
    return Token(TokenKind.SIGN, match["sign"], at)


def _unexpected(source: SourceText, at: int) -> StrategyError:
    found = source.text[at]
    if found == '"':
        return source.refuse('this text is not closed before the end of the line; expected "', at)
    if found == "'":
        return source.refuse("texts stand in double quotes", at, 'write "..."')
    if found == "_":
        return source.refuse("a name starts with a letter", at)
    if not found.isascii():
        shown = f"{visible(found)} (U+{ord(found):04X})"
        return source.refuse(
            f"{shown} is not part of the language",
            at,
            "names use the letters A to Z, 0 to 9 and _",
        )
    return source.refuse(
        f"{visible(found)} is not part of the language", at, _INSTEAD.get(found, "")
    )
