"""Parse expressions: one function per level of precedence, loosest first."""

from jts_trading.dsl.cursor import Cursor, parse_literal
from jts_trading.dsl.grammar import COMPARISONS, RESERVED, Word
from jts_trading.dsl.lexer import Token, TokenKind
from jts_trading.dsl.syntax import (
    Argument,
    Between,
    Call,
    Chain,
    Comparison,
    Crossing,
    Expression,
    History,
    Junction,
    Negation,
    Negative,
    Record,
    Reference,
    Selected,
    Text,
    Truth,
)

AN_EXPRESSION = "a value, a name or ("


def parse_expression(cursor: Cursor) -> Expression:
    """Parse a whole expression.

    Raises:
        StrategyError: The text is none.
    """
    with cursor.nested(cursor.peek().at):
        return _junction(cursor, every=False)


def _junction(cursor: Cursor, *, every: bool) -> Expression:
    word = Word.AND if every else Word.OR
    at = cursor.peek().at
    operands = [_negation(cursor) if every else _junction(cursor, every=True)]
    while cursor.take_word(word):
        operands.append(_negation(cursor) if every else _junction(cursor, every=True))
    if len(operands) == 1:
        return operands[0]
    return Junction(cursor.count_node(at), every, tuple(operands))


def _negation(cursor: Cursor) -> Expression:
    token = cursor.peek()
    if not cursor.take_word(Word.NOT):
        return _comparison(cursor)
    with cursor.nested(token.at):
        return Negation(cursor.count_node(token.at), _negation(cursor))


def _comparison(cursor: Cursor) -> Expression:
    left = _sum(cursor)
    token = cursor.peek()
    if cursor.is_sign(*COMPARISONS):
        cursor.take()
        return Comparison(cursor.count_node(token.at), token.text, left, _sum(cursor))
    if cursor.take_word(Word.CROSSES):
        return _crossing(cursor, token, left)
    if cursor.take_word(Word.BETWEEN):
        return _between(cursor, token, left)
    if cursor.is_word(Word.NOT) and cursor.is_word(Word.BETWEEN, 1):
        cursor.take()
        cursor.take()
        return Negation(cursor.count_node(token.at), _between(cursor, token, left))
    return left


def _crossing(cursor: Cursor, token: Token, left: Expression) -> Expression:
    if cursor.take_word(Word.ABOVE):
        upwards = True
    elif cursor.take_word(Word.BELOW):
        upwards = False
    else:
        raise cursor.unexpected(f'"{Word.ABOVE}" or "{Word.BELOW}" after "{token.text}"')
    return Crossing(cursor.count_node(token.at), upwards, left, _sum(cursor))


def _between(cursor: Cursor, token: Token, operand: Expression) -> Expression:
    opened = cursor.expect_sign("[", f'after "{token.text}"')
    low = _sum(cursor)
    cursor.expect_sign(",", "between the two ends")
    high = _sum(cursor)
    cursor.expect_sign("]", "after the two ends", opened)
    return Between(cursor.count_node(token.at), operand, low, high)


def _sum(cursor: Cursor) -> Expression:
    at = cursor.peek().at
    first = _product(cursor)
    rest: list[tuple[str, int, Expression]] = []
    while cursor.is_sign("+", "-"):
        sign = cursor.take()
        rest.append((sign.text, sign.at, _product(cursor)))
    return Chain(cursor.count_node(at), first, tuple(rest)) if rest else first


def _product(cursor: Cursor) -> Expression:
    at = cursor.peek().at
    first = _unary(cursor)
    rest: list[tuple[str, int, Expression]] = []
    while cursor.is_sign("*", "/"):
        sign = cursor.take()
        rest.append((sign.text, sign.at, _unary(cursor)))
    return Chain(cursor.count_node(at), first, tuple(rest)) if rest else first


def _unary(cursor: Cursor) -> Expression:
    token = cursor.peek()
    if not cursor.is_sign("-", "+"):
        return _postfix(cursor)
    cursor.take()
    with cursor.nested(token.at):
        operand = _unary(cursor)
    if token.text == "+":
        return operand
    return Negative(cursor.count_node(token.at), operand)


def _postfix(cursor: Cursor) -> Expression:
    operand = _primary(cursor)
    if not cursor.is_sign("["):
        return operand
    opened = cursor.take()
    with cursor.nested(opened.at):
        bars = _sum(cursor)
    cursor.expect_sign("]", "after the number of bars", opened)
    return History(cursor.count_node(opened.at), operand, bars)


def _primary(cursor: Cursor) -> Expression:
    token = cursor.peek()
    if token.kind in (TokenKind.NUMBER, TokenKind.TIME):
        return parse_literal(cursor)
    if token.kind is TokenKind.TEXT:
        cursor.take()
        return Text(cursor.count_node(token.at), token.text)
    if cursor.is_sign("("):
        cursor.take()
        cursor.count_node(token.at)
        inner = parse_expression(cursor)
        cursor.expect_sign(")", "after the expression", token)
        return inner
    if token.kind is TokenKind.NAME:
        return _named(cursor, token)
    raise cursor.unexpected(AN_EXPRESSION)


def _named(cursor: Cursor, token: Token) -> Expression:
    word = token.text.lower()
    if word in (Word.TRUE, Word.FALSE):
        cursor.take()
        return Truth(cursor.count_node(token.at), word == Word.TRUE)
    if word in RESERVED:
        raise cursor.unexpected(AN_EXPRESSION)
    reference = parse_reference(cursor)
    if not cursor.is_sign("("):
        return reference
    if len(reference.parts) > 1:
        raise cursor.unexpected('no "(": a dotted name is not called')
    call = Call(reference.at, token.text, parse_arguments(cursor))
    if not cursor.take_sign("."):
        return call
    field = cursor.expect_name("an output after the dot")
    return Selected(cursor.count_node(field.at), call, field.text)


def parse_reference(cursor: Cursor) -> Reference:
    """Parse a dotted name.

    Raises:
        StrategyError: No name is next.
    """
    token = cursor.expect_name("a name")
    parts = [token.text]
    while cursor.take_sign("."):
        cursor.count_node(token.at)
        parts.append(cursor.expect_name("a name after the dot").text)
    return Reference(cursor.count_node(token.at), tuple(parts))


def parse_arguments(cursor: Cursor) -> tuple[Argument, ...]:
    """Parse arguments in parentheses.

    Raises:
        StrategyError: They are malformed.
    """
    opened = cursor.expect_sign("(", "before the arguments")
    arguments: list[Argument] = []
    with cursor.nested(opened.at):
        while not cursor.is_sign(")"):
            arguments.append(_argument(cursor))
            if not cursor.take_sign(","):
                break
    cursor.expect_sign(")", "or a comma after the argument" if arguments else "", opened)
    return tuple(arguments)


def _argument(cursor: Cursor) -> Argument:
    token = cursor.peek()
    name = ""
    following = cursor.peek(1)
    if token.kind is TokenKind.NAME and following.kind is TokenKind.SIGN and following.text == ":":
        name = cursor.take().text
        cursor.take()
    value = _record(cursor) if cursor.is_sign("{") else parse_expression(cursor)
    return Argument(cursor.count_node(token.at), name, value)


def _record(cursor: Cursor) -> Record:
    opened = cursor.take()
    entries: list[Argument] = []
    with cursor.nested(opened.at):
        while not cursor.is_sign("}"):
            name = cursor.expect_name("the name of an entry")
            cursor.expect_sign(":", f'after "{name.text}"')
            value = parse_expression(cursor)
            entries.append(Argument(cursor.count_node(name.at), name.text, value))
            if not cursor.take_sign(","):
                break
    cursor.expect_sign("}", "or a comma after the entry", opened)
    return Record(cursor.count_node(opened.at), tuple(entries))
