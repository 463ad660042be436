"""Lay a strategy text out in one way; what it says, comments included, stays as it is.

Theory of operation. The parser says where entries of blocks begin and which braces are blocks;
everything else is spacing between tokens, which are never changed. A block that was written on one
line stays on one line while it fits; line ends inside an entry stay where the author put them and
only their indentation is set. So formatting a formatted text changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from jts_trading.dsl.cursor import open_cursor
from jts_trading.dsl.grammar import COMPARISONS, Word
from jts_trading.dsl.lexer import SourceText, pieces, read_text
from jts_trading.dsl.parser import parse_at

WIDTH_MAX = 99
_INDENT = "  "
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_TIGHT_AFTER = frozenset({"(", "[", ".", ".."})
_TIGHT_BEFORE = frozenset({")", "]", ",", ".", "..", ":"})
# After these a sign is that of a number, not a sum; before a bracket they are followed by a space.
_WORDS = frozenset(Word) - {Word.STRATEGY}
_BEFORE_VALUE = frozenset({*COMPARISONS, *"([{,:=+-*/"})


class _Comment(NamedTuple):
    """A comment: whether it follows on a line, and whether an empty line is before it."""

    text: str
    is_trailing: bool
    has_blank: bool


@dataclass(slots=True)
class _Leaf:
    """A token, the comments before it, and whether an empty line is between."""

    at: int
    text: str
    comments: list[_Comment] = field(default_factory=list)
    is_on_new_line: bool = False
    has_blank: bool = False

    @property
    def begins_apart(self) -> bool:
        """Whether an empty line is before the token and its comments."""
        return self.comments[0].has_blank if self.comments else self.has_blank


@dataclass(slots=True)
class _Block:
    """Braces with entries."""

    opening: _Leaf
    closing: _Leaf
    entries: list["_Entry"]
    is_inline: bool


_Entry = list[_Leaf | _Block]


@dataclass(frozen=True, slots=True)
class _Edges:
    """Where blocks begin, and where entries end: at the next entry or the end of their block."""

    source: SourceText
    blocks: dict[int, int]
    ends: frozenset[int]


def format_text(text: str | bytes, *, file: str = "<strategy>") -> str:
    """Return a strategy text in the one layout.

    Args:
        text: The text; it has to parse, its names and types are not looked at.
        file: How errors name it.

    Raises:
        StrategyError: It cannot be parsed.
    """
    source = read_text(text, file)
    cursor = open_cursor(source)
    parse_at(cursor)
    leaves, after = _leaves(source)
    stream = iter(leaves)
    edges = _Edges(source, cursor.blocks, frozenset({*cursor.entries, *cursor.blocks.values()}))
    root = _entry(stream, next(stream), edges)[0]
    lines = _entry_lines(root, 0)
    for comment in after:
        if comment.is_trailing:
            lines[-1] += f"  {comment.text}"
        else:
            lines += [*([""] if comment.has_blank else []), comment.text]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _leaves(source: SourceText) -> tuple[list[_Leaf], list[_Comment]]:
    """Return the tokens with what stands before each, and the comments behind the last."""
    found: list[_Leaf] = []
    comments: list[_Comment] = []
    end = 0
    for at, text in pieces(source):
        gap = source.text[end:at]
        has_blank = gap.count("\n") > 1
        if text.startswith(("//", "#")):
            comments.append(_Comment(text, "\n" not in gap and bool(found), has_blank))
        else:
            is_new_line = "\n" in gap or bool(comments)
            found.append(_Leaf(at, text, comments, is_new_line, has_blank))
            comments = []
        end = at + len(text)
    return found, comments


def _entry(stream: Iterator[_Leaf], first: _Leaf, edges: _Edges) -> tuple[_Entry, _Leaf | None]:
    """Gather an entry from its first token on; return it and the token behind it."""
    entry: _Entry = []
    leaf: _Leaf | None = first
    while leaf is not None and (leaf is first or leaf.at not in edges.ends):
        if leaf.at in edges.blocks:
            entry.append(_block(stream, leaf, edges))
        else:
            entry.append(leaf)
        leaf = next(stream, None)
    return entry, leaf


def _block(stream: Iterator[_Leaf], opening: _Leaf, edges: _Edges) -> _Block:
    closes = edges.blocks[opening.at]
    entries: list[_Entry] = []
    leaf = next(stream)
    while leaf.at != closes:
        entry, following = _entry(stream, leaf, edges)
        entries.append(entry)
        if following is None:
            break
        leaf = following
    is_inline = "\n" not in edges.source.text[opening.at : closes]
    return _Block(opening, leaf, entries, is_inline)


def _entry_lines(entry: _Entry, depth: int) -> list[str]:
    """Return the lines of an entry, indented, with the comments and the empty line before it."""
    lines: list[str] = [""]
    # The line of every bracket that is open: several of one line indent once.
    opened: list[int] = []
    before: str = ""
    for place, item in enumerate(entry):
        leaf = item.opening if isinstance(item, _Block) else item
        is_unary = _is_sign_of_value(entry, place - 1)
        is_closing = leaf.text in _CLOSING and bool(opened)
        closed = {opened.pop()} if is_closing else set()
        levels = len(set(opened) - closed)
        deeper = depth + max(levels, int(leaf.text not in _CLOSING)) if place else depth
        starts_line = _put_comments(lines, leaf, deeper, is_first=place == 0)
        if not starts_line and place and leaf.is_on_new_line and not isinstance(item, _Block):
            lines.append("")
            starts_line = True
        if starts_line or place == 0:
            lines[-1] = _INDENT * deeper
        elif not is_unary and _is_apart(before, leaf.text):
            lines[-1] += " "
        lines[-1] += leaf.text
        if isinstance(item, _Block):
            _put_block(lines, item, depth)
        elif leaf.text in _OPENING:
            opened.append(len(lines))
        before = "}" if isinstance(item, _Block) else leaf.text
    return lines


def _put_comments(lines: list[str], leaf: _Leaf, depth: int, *, is_first: bool) -> bool:
    """Put the comments before a token; return whether it has to start a line."""
    if is_first:
        lines[:] = [*_comment_lines(leaf.comments, depth), ""]
        if leaf.comments and leaf.has_blank:
            lines.append("")
        return bool(leaf.comments)
    for comment in leaf.comments:
        if comment.is_trailing and lines[-1].strip():
            lines[-1] += f"  {comment.text}"
        elif lines[-1].strip():
            lines.append(_INDENT * depth + comment.text)
        else:
            lines[-1] = _INDENT * depth + comment.text
    if leaf.comments:
        lines.append("")
    return bool(leaf.comments)


def _comment_lines(comments: list[_Comment], depth: int) -> list[str]:
    """Return comments with the empty lines between them."""
    lines: list[str] = []
    for comment in comments:
        if lines and comment.has_blank:
            lines.append("")
        lines.append(_INDENT * depth + comment.text)
    return lines


def _put_block(lines: list[str], block: _Block, depth: int) -> None:
    """Put what a block holds behind its opening brace, and its closing brace."""
    if block.is_inline:
        inside = " ".join(line for e in block.entries for line in _entry_lines(e, 0))
        text = f" {inside} {block.closing.text}" if inside else block.closing.text
        if len(lines[-1] + text) <= WIDTH_MAX:
            lines[-1] += text
            return
    for place, entry in enumerate(block.entries):
        first = entry[0].opening if isinstance(entry[0], _Block) else entry[0]
        _take_trailing(lines, first)
        if place and first.begins_apart:
            lines.append("")
        lines += _entry_lines(entry, depth + 1)
    _take_trailing(lines, block.closing)
    if block.closing.comments and block.entries and block.closing.begins_apart:
        lines.append("")
    lines += _comment_lines(block.closing.comments, depth + 1)
    lines.append(_INDENT * depth + block.closing.text)


def _take_trailing(lines: list[str], leaf: _Leaf) -> None:
    """Put a comment that follows on a line to the end of that line."""
    if leaf.comments and leaf.comments[0].is_trailing:
        lines[-1] += f"  {leaf.comments.pop(0).text}"


def _is_sign_of_value(entry: _Entry, place: int) -> bool:
    """Return whether the token at a place is the sign of the value behind it."""
    if place < 1:
        return False
    sign, before = entry[place], entry[place - 1]
    if isinstance(sign, _Block) or isinstance(before, _Block) or sign.text not in {"+", "-"}:
        return False
    return before.text in _BEFORE_VALUE or before.text.lower() in _WORDS or before.text == ".."


def _is_apart(before: str, text: str) -> bool:
    """Return whether a space stands between two tokens."""
    if before in _TIGHT_AFTER or text in _TIGHT_BEFORE:
        return False
    if text in {"(", "["}:
        is_called = before[-1:].isalnum() or before[-1:] in {"_", ")", "]", '"'}
        # `rank` begins `rank by`, too, but in front of a parenthesis it is called.
        return not is_called or before.lower() in _WORDS - {Word.RANK}
    return True
