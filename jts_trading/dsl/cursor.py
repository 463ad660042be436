"""A cursor over tokens that counts nodes and nesting.

Invariant: nobody recurses in the parser without `nested`, so no text can exhaust the stack.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from jts_trading.dsl.errors import StrategyError, nearest
from jts_trading.dsl.grammar import CURRENCIES, DURATION_SECONDS, NESTING_MAX, NODES_MAX, Measure
from jts_trading.dsl.lexer import SourceText, Token, TokenKind, tokens
from jts_trading.dsl.syntax import Literal


@dataclass(slots=True)
class Cursor:
    """The place of a parser in its text.

    `entries` are the offsets at which an entry of a block begins, `blocks` the offset of the
    closing brace of a block by that of its opening one: what a formatter needs to know.
    """

    source: SourceText
    _stream: Iterator[Token]
    _ahead: list[Token] = field(default_factory=list)
    _nodes: int = 0
    _depth: int = 0
    entries: set[int] = field(default_factory=set)
    blocks: dict[int, int] = field(default_factory=dict)

    def peek(self, distance: int = 0) -> Token:
        """Return a coming token without taking it."""
        while len(self._ahead) <= distance:
            self._ahead.append(next(self._stream))
        return self._ahead[distance]

    def take(self) -> Token:
        """Take the next token."""
        token = self.peek()
        self._ahead.pop(0)
        return token

    def count_node(self, at: int) -> int:
        """Count one node of the tree and return its offset.

        Raises:
            StrategyError: The text has more nodes than a strategy may have.
        """
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self.source.refuse(f"a strategy has at most {NODES_MAX:,} parts", at)
        return at

    @contextmanager
    def nested(self, at: int) -> Iterator[None]:
        """Go one level deeper while the block runs.

        Raises:
            StrategyError: The text is nested more deeply than a strategy may be.
        """
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise self.source.refuse(f"nested more than {NESTING_MAX} levels deep", at)
        yield
        self._depth -= 1

    def is_sign(self, *signs: str) -> bool:
        """Whether the next token is one of these signs."""
        token = self.peek()
        return token.kind is TokenKind.SIGN and token.text in signs

    def is_word(self, word: str, distance: int = 0) -> bool:
        """Whether a coming token is this word, whatever its case."""
        token = self.peek(distance)
        return token.kind is TokenKind.NAME and token.text.lower() == word

    def take_sign(self, sign: str) -> bool:
        """Take this sign if it is next."""
        return bool(self.is_sign(sign) and self.take())

    def take_word(self, word: str) -> bool:
        """Take this word if it is next."""
        return bool(self.is_word(word) and self.take())

    def expect_sign(self, sign: str, where: str, opened: Token | None = None) -> Token:
        """Take this sign.

        Raises:
            StrategyError: Something else is next; `opened` is the sign that it should close.
        """
        if self.is_sign(sign):
            return self.take()
        hint = ""
        if opened is not None:
            place = self.source.place(opened.at)
            hint = f"it closes the {opened.text} of line {place.line}, column {place.column}"
        raise self.unexpected(f'"{sign}" {where}'.rstrip(), hint)

    def expect_name(self, what: str) -> Token:
        """Take a name.

        Raises:
            StrategyError: Something else is next.
        """
        if self.peek().kind is TokenKind.NAME:
            return self.take()
        raise self.unexpected(what)

    def expect_text(self, what: str) -> Token:
        """Take a quoted text.

        Raises:
            StrategyError: Something else is next.
        """
        if self.peek().kind is TokenKind.TEXT:
            return self.take()
        raise self.unexpected(f"{what} in double quotes")

    def unexpected(self, expected: str, hint: str = "") -> StrategyError:
        """Return the error for the next token; the caller raises it."""
        token = self.peek()
        found = token.kind.value if token.kind is TokenKind.END else f"found {_shown(token)}"
        return self.source.refuse(f"{found}, expected {expected}", token.at, hint)


def _shown(token: Token) -> str:
    text = token.text[:40] + token.suffix
    return f'text "{text}"' if token.kind is TokenKind.TEXT else f'"{text}"'


def open_cursor(source: SourceText) -> Cursor:
    """Return a cursor at the start of a text."""
    return Cursor(source, tokens(source))


def parse_literal(cursor: Cursor) -> Literal:
    """Take a number with what belongs to it (%, a unit of time, a currency) or a time of day.

    Raises:
        StrategyError: No number is next, or its unit is unknown.
    """
    token = cursor.peek()
    if token.kind is TokenKind.TIME:
        cursor.take()
        return Literal(cursor.count_node(token.at), _second_of(cursor, token), Measure.TIME)
    if token.kind is not TokenKind.NUMBER:
        raise cursor.unexpected("a number")
    cursor.take()
    cursor.count_node(token.at)
    value = Fraction(token.text)
    if token.suffix == "%":
        return Literal(token.at, value / 100, Measure.PERCENT)
    if token.suffix:
        seconds = DURATION_SECONDS.get(token.suffix)
        if seconds is None:
            raise cursor.source.refuse(
                f'"{token.suffix}" is no unit of a number',
                token.at + len(token.text),
                nearest(token.suffix, {"%", *DURATION_SECONDS}),
            )
        return Literal(token.at, value * seconds, Measure.DURATION)
    follower = cursor.peek()
    if follower.kind is TokenKind.NAME and follower.text in CURRENCIES:
        cursor.take()
        return Literal(token.at, value, Measure.MONEY, follower.text)
    return Literal(token.at, value, Measure.NUMBER)


def _second_of(cursor: Cursor, token: Token) -> Fraction:
    hour, minute, second = (int(part) for part in (token.text + ":0").split(":")[:3])
    if hour > 23 or minute > 59 or second > 59:
        raise cursor.source.refuse(
            f'"{token.text}" is no time of day', token.at, "accepted: 00:00 to 23:59:59"
        )
    return Fraction(hour * 3600 + minute * 60 + second)


def literal_of_text(text: str, source: SourceText, at: int) -> Literal | None:
    """Read the inside of a quoted text as a literal ("5%", "1d"), or return None."""
    inner = open_cursor(SourceText(text.strip(), source.file))
    try:
        literal = parse_literal(inner)
        if inner.peek().kind is not TokenKind.END:
            return None
    except StrategyError:
        return None
    return Literal(at, literal.value, literal.measure, literal.currency)
