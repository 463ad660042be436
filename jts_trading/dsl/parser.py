"""Parse a strategy: recursive descent over the blocks that the grammar names."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from jts_trading.dsl.cursor import Cursor, literal_of_text, open_cursor, parse_literal
from jts_trading.dsl.errors import nearest
from jts_trading.dsl.expressions import parse_arguments, parse_expression
from jts_trading.dsl.grammar import RULE_SIDES, Block, Word
from jts_trading.dsl.lexer import SourceText, Token, TokenKind
from jts_trading.dsl.syntax import (
    Action,
    Definition,
    Expression,
    Literal,
    Parameter,
    Requirement,
    RuleBlock,
    Selection,
    Setting,
    SourceRange,
    Strategy,
    Text,
    When,
)


@dataclass(slots=True)
class _Parts:
    params: list[Parameter] = field(default_factory=list)
    timeframes: list[Setting] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    sources: list[SourceRange] = field(default_factory=list)
    rules: list[RuleBlock] = field(default_factory=list)
    risk: list[Setting] = field(default_factory=list)
    selections: list[Selection] = field(default_factory=list)
    filters: list[Expression] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    ranks: list[Expression] = field(default_factory=list)


def parse(source: SourceText) -> Strategy:
    """Parse a text.

    Raises:
        StrategyError: With line, column, what was found and what was expected.
    """
    return parse_at(open_cursor(source))


def parse_at(cursor: Cursor) -> Strategy:
    """Parse the text of a cursor, which knows where entries and blocks are afterwards.

    Raises:
        StrategyError: See `parse`.
    """
    start = cursor.peek()
    if not cursor.take_word(Word.STRATEGY):
        raise cursor.unexpected(f'{Word.STRATEGY}("name") {{ ... }}')
    cursor.expect_sign("(", f'after "{Word.STRATEGY}"')
    name = cursor.expect_text("the name of the strategy")
    cursor.expect_sign(")", "after the name")
    parts = _Parts()
    _entries(cursor, lambda: _block(cursor, parts), "after the name of the strategy")
    if cursor.peek().kind is not TokenKind.END:
        raise cursor.unexpected("the end of the text: a file holds one strategy")
    return Strategy(
        start.at,
        # Some systems and keyboards take Korean letters apart.
        Text(name.at, unicodedata.normalize("NFC", name.text)),
        tuple(parts.params),
        tuple(parts.timeframes),
        tuple(parts.definitions),
        tuple(parts.sources),
        tuple(parts.rules),
        tuple(parts.risk),
        tuple(parts.selections),
        tuple(parts.filters),
        tuple(parts.requirements),
        tuple(parts.ranks),
    )


def _entries(cursor: Cursor, parse_entry: Callable[[], None], where: str) -> None:
    """Parse entries in braces; commas between them are allowed."""
    opened = cursor.expect_sign("{", where)
    while not cursor.is_sign("}"):
        if cursor.peek().kind is TokenKind.END:
            break
        cursor.entries.add(cursor.peek().at)
        parse_entry()
        cursor.take_sign(",")
    cursor.blocks[opened.at] = cursor.expect_sign("}", "", opened).at


def _block(cursor: Cursor, parts: _Parts) -> None:
    if cursor.is_word(Word.REQUIRE):
        parts.requirements.append(_requirement(cursor))
        return
    if cursor.is_word(Word.RANK) and cursor.is_word(Word.BY, 1):
        cursor.take()
        cursor.take()
        parts.ranks.append(parse_expression(cursor))
        return
    demands = f"{Word.REQUIRE} {Word.QUALITY}, {Word.RANK} {Word.BY}"
    token = cursor.expect_name(f"a block: {', '.join(Block)}, {demands}")
    name = token.text.lower()
    if cursor.take_sign("."):
        name += "." + cursor.expect_name("what the block is for").text.lower()
    if name not in set(Block):
        raise cursor.source.refuse(f'"{name}" is no block', token.at, nearest(name, set(Block)))
    cursor.count_node(token.at)
    block = Block(name)
    if block in RULE_SIDES:
        parts.rules.append(_rule_block(cursor, token, block))
        return
    entry: dict[Block, Callable[[], None]] = {
        Block.PARAMS: lambda: parts.params.append(_parameter(cursor)),
        Block.TIMEFRAMES: lambda: parts.timeframes.append(_setting(cursor)),
        Block.INDICATORS: lambda: parts.definitions.extend(_definitions(cursor)),
        Block.SOURCES: lambda: parts.sources.append(_source(cursor)),
        Block.RISK_MANAGEMENT: lambda: parts.risk.append(_setting(cursor)),
        Block.UNIVERSE: lambda: _universe(cursor, parts),
    }
    _entries(cursor, entry[block], f'after "{name}"')


def _requirement(cursor: Cursor) -> Requirement:
    token = cursor.take()
    if not cursor.take_word(Word.QUALITY):
        raise cursor.unexpected(f'"{Word.QUALITY}" after "{token.text}"')
    bars = parse_literal(cursor) if cursor.take_word(Word.WITHIN) else None
    return Requirement(cursor.count_node(token.at), bars)


def _universe(cursor: Cursor, parts: _Parts) -> None:
    following = cursor.peek(1)
    is_setting = following.kind is TokenKind.SIGN and following.text == "="
    if not (cursor.peek().kind is TokenKind.NAME and is_setting):
        parts.filters.append(parse_expression(cursor))
        return
    name = cursor.take()
    cursor.take()
    values = [_quoted(cursor)] if not cursor.is_sign("[") else _quoted_list(cursor)
    parts.selections.append(Selection(cursor.count_node(name.at), name.text, tuple(values)))


def _quoted(cursor: Cursor) -> Text:
    token = cursor.expect_text("what is accepted")
    return Text(cursor.count_node(token.at), token.text)


def _quoted_list(cursor: Cursor) -> list[Text]:
    opened = cursor.take()
    found = [_quoted(cursor)]
    while cursor.take_sign(","):
        found.append(_quoted(cursor))
    cursor.expect_sign("]", "or a comma after the text", opened)
    return found


def _rule_block(cursor: Cursor, token: Token, block: Block) -> RuleBlock:
    rules: list[When] = []
    _entries(cursor, lambda: rules.append(_when(cursor)), f'after "{block}"')
    if not rules:
        raise cursor.source.refuse(f'"{block}" has no rule, expected "{Word.WHEN}"', token.at)
    return RuleBlock(token.at, block, tuple(rules))


def _when(cursor: Cursor) -> When:
    token = cursor.peek()
    if not cursor.take_word(Word.WHEN):
        raise cursor.unexpected(f'"{Word.WHEN} (condition) {{ action }}" or "}}"')
    opened = cursor.expect_sign("(", f'after "{Word.WHEN}"')
    condition = parse_expression(cursor)
    cursor.expect_sign(")", "after the condition", opened)
    actions: list[Action] = []
    _entries(cursor, lambda: actions.append(_action(cursor)), "after the condition")
    if not actions:
        raise cursor.source.refuse("this rule does nothing, expected an action", token.at)
    return When(cursor.count_node(token.at), condition, tuple(actions))


def _action(cursor: Cursor) -> Action:
    name = cursor.expect_name("an action")
    return Action(cursor.count_node(name.at), name.text, parse_arguments(cursor))


def _definitions(cursor: Cursor) -> list[Definition]:
    if not (cursor.is_word(Word.ON) and cursor.peek(1).kind is TokenKind.NAME):
        return [_definition(cursor, "", 0)]
    cursor.take()
    frame = cursor.take()
    cursor.count_node(frame.at)
    found: list[Definition] = []
    _entries(
        cursor,
        lambda: found.append(_definition(cursor, frame.text, frame.at)),
        f'after "{Word.ON} {frame.text}"',
    )
    return found


def _definition(cursor: Cursor, frame: str, frame_at: int) -> Definition:
    name = cursor.expect_name('"name = expression" or "}"')
    cursor.expect_sign("=", f'after "{name.text}"')
    value = parse_expression(cursor)
    return Definition(cursor.count_node(name.at), name.text, value, frame, frame_at)


def _setting(cursor: Cursor) -> Setting:
    name = cursor.expect_name('"name = value" or "}"')
    cursor.expect_sign("=", f'after "{name.text}"')
    return Setting(cursor.count_node(name.at), name.text, parse_expression(cursor))


def _parameter(cursor: Cursor) -> Parameter:
    name = cursor.expect_name('"name = value" or "}"')
    cursor.expect_sign("=", f'after "{name.text}"')
    value = parse_signed(cursor)
    low = high = step = None
    if cursor.take_word(Word.IN):
        low = parse_signed(cursor)
        cursor.expect_sign("..", "between the lowest and the highest value")
        high = parse_signed(cursor)
        if cursor.take_word(Word.STEP):
            step = parse_signed(cursor)
    return Parameter(cursor.count_node(name.at), name.text, value, low, high, step)


def parse_signed(cursor: Cursor) -> Literal:
    """Parse a literal that may carry a sign or stand in quotes.

    Raises:
        StrategyError: No literal is next.
    """
    token = cursor.peek()
    if token.kind is TokenKind.TEXT:
        literal = literal_of_text(token.text, cursor.source, token.at)
        if literal is None:
            raise cursor.unexpected("a number")
        cursor.take()
        return literal
    is_negative = cursor.take_sign("-")
    literal = parse_literal(cursor)
    value = -literal.value if is_negative else literal.value
    return Literal(token.at, value, literal.measure, literal.currency)


def _source(cursor: Cursor) -> SourceRange:
    name = cursor.expect_name('"source: symbols[first..last]" or "}"')
    cursor.expect_sign(":", f'after "{name.text}"')
    collection = cursor.expect_name("symbols[first..last]")
    opened = cursor.expect_sign("[", f'after "{collection.text}"')
    first = parse_literal(cursor)
    cursor.expect_sign("..", "between the first and the last symbol")
    last = parse_literal(cursor)
    cursor.expect_sign("]", "after the last symbol", opened)
    return SourceRange(cursor.count_node(name.at), name.text, collection.text, first, last)
