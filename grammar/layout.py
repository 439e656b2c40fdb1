"""The canonical layout of one statement: brackets stay on one line where they fit, and are broken where not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from vggc.grammar.parser import language

WIDTH = 100
INDENT = 4

_CLOSER = {"(": ")", "[": "]", "{": "}"}
_COMMENT = re.compile(r"#[^\n]*")
# What an operand ends with: a minus sign behind it is a subtraction, a `[` behind it an index.
_OPERAND_ENDS = {"NAME", "NUMBER", "STRING", "OPERATOR", "OUTPUT", "QMARK", "_TRUE", "_FALSE"}
_TIGHT_BEFORE = {",", ":", "?", "...", "..", "|"}
_TIGHT_AFTER = {"..", "|"}


@dataclass(frozen=True)
class Comment:
    """A comment, and whether it stands on a line of its own."""

    text: str
    alone: bool


@dataclass(frozen=True)
class Leaf:
    """A token: its terminal, its text, and the comments between the token before and itself."""

    kind: str
    text: str
    comments: tuple[Comment, ...]


@dataclass
class Item:
    """The text between two commas, with the comments to write above it and behind it."""

    parts: list[Leaf | Bracketed] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)

    def holds_comments(self) -> bool:
        """Whether one of its brackets holds a comment."""
        return any(isinstance(each, Bracketed) and each.has_comments() for each in self.parts)

    def settle(self) -> None:
        """Move all comments but one above the item: only one fits behind it."""
        self.above += self.behind[:-1]
        self.behind = self.behind[-1:]


@dataclass
class Bracketed:
    """A bracket with its items. `commas` says whether a comma may follow the last one; `rest` are the comments
    behind the last item."""

    opening: str
    role: str  # "call" behind a name, "index" behind an operand, "list", "mapping", "parentheses"
    items: list[Item] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    @property
    def commas(self) -> bool:
        return self.role not in ("index", "parentheses")

    def has_comments(self) -> bool:
        return bool(self.rest) or any(each.above or each.behind or each.holds_comments() for each in self.items)


def leaves(text: str, start: str = "statement") -> Iterator[Leaf]:
    """The tokens of a valid statement. The last one has no text, and holds the last comments."""
    done = 0
    for token in language().parse_interactive(text, start=start).iter_parse():
        begin, end = token.start_pos or 0, token.end_pos or 0
        yield Leaf(token.type, token.value, _comments(text[done:begin]))
        done = end
    yield Leaf("$END", "", _comments(text[done:]))


def group(tokens: Iterator[Leaf], opening: str, role: str) -> Bracketed:
    """Read a bracket up to its closing token; the opening one has been read."""
    bracketed = Bracketed(opening, role)
    item = Item()
    for leaf in tokens:
        closes = leaf.text == _CLOSER[opening]
        for comment in leaf.comments:
            if item.parts and not (closes and comment.alone):
                (item.above if comment.alone else item.behind).append(comment.text)
            elif not item.parts and bracketed.items and not comment.alone:
                bracketed.items[-1].behind.append(comment.text)
            else:
                (bracketed.rest if closes else item.above).append(comment.text)
        if not closes and leaf.text != ",":
            add(item.parts, leaf, tokens)
            continue
        if item.parts:
            bracketed.items.append(item)
        if closes:
            break
        item = Item()
    for each in bracketed.items:
        each.settle()
    return bracketed


def add(parts: list[Leaf | Bracketed], leaf: Leaf, tokens: Iterator[Leaf]) -> None:
    """Append a token, or the whole bracket that it opens."""
    if leaf.text not in _CLOSER:
        parts.append(leaf)
        return
    before = parts[-1] if parts else None
    operand = isinstance(before, Bracketed) or (before is not None and before.kind in _OPERAND_ENDS)
    if leaf.text == "(":
        called = isinstance(before, Leaf) and before.kind in ("NAME", "OPERATOR")
        role = "call" if called else "parentheses"
    elif leaf.text == "[":
        role = "index" if operand else "list"
    else:
        role = "mapping"
    parts.append(group(tokens, leaf.text, role))


def flat(parts: list[Leaf | Bracketed], *, spaced_equals: bool = False) -> str:
    """The parts on one line, comments left out."""
    text = ""
    before: Leaf | Bracketed | None = None
    earlier: Leaf | Bracketed | None = None
    for part in parts:
        text += _gap(earlier, before, part, spaced_equals) + _flat_part(part)
        earlier, before = before, part
    return text


def lines(parts: list[Leaf | Bracketed], indent: int, room: int, *, spaced_equals: bool = False) -> list[str]:
    """The parts on one line if they fit in `room` and no bracket holds a comment, else with brackets broken.

    The first line has no indentation, the others have theirs. The widest bracket is broken first.
    """
    broken = {id(each) for each in parts if isinstance(each, Bracketed) and each.has_comments()}
    groups = sorted((each for each in parts if isinstance(each, Bracketed)), key=lambda each: -len(_flat_part(each)))
    while True:
        broken_lines = _with_broken(parts, broken, indent, spaced_equals)
        wide = len(broken_lines[0]) > room or any(len(each) > WIDTH for each in (broken_lines[0], broken_lines[-1]))
        whole = [each for each in groups if id(each) not in broken and each.items and each.commas]
        if not wide or not whole:
            return broken_lines
        broken.add(id(whole[0]))


def item_lines(item: Item, indent: int, behind: str, *, first: str = "", spaced_equals: bool = False) -> list[str]:
    """The lines of an item with its comments. `first` is written before it on its line, `behind` after it."""
    space = " " * indent
    room = WIDTH - indent - len(first) - len(behind)
    text = lines(item.parts, indent, room, spaced_equals=spaced_equals)
    text[0] = space + first + text[0]
    text[-1] += behind + "".join(f"  {each}" for each in item.behind)
    return [space + each for each in item.above] + text


def _with_broken(parts: list[Leaf | Bracketed], broken: set[int], indent: int, spaced_equals: bool) -> list[str]:
    written = [""]
    before: Leaf | Bracketed | None = None
    earlier: Leaf | Bracketed | None = None
    for part in parts:
        written[-1] += _gap(earlier, before, part, spaced_equals)
        if isinstance(part, Bracketed) and id(part) in broken:
            written[-1] += part.opening
            for each in part.items:
                written += item_lines(each, indent + INDENT, "," if part.commas else "")
            written += [" " * (indent + INDENT) + each for each in part.rest]
            written.append(" " * indent + _CLOSER[part.opening])
        else:
            written[-1] += _flat_part(part)
        earlier, before = before, part
    return written


def _flat_part(part: Leaf | Bracketed) -> str:
    if isinstance(part, Leaf):
        return part.text
    return part.opening + ", ".join(flat(each.parts) for each in part.items) + _CLOSER[part.opening]


def _gap(
    earlier: Leaf | Bracketed | None,
    before: Leaf | Bracketed | None,
    part: Leaf | Bracketed,
    spaced_equals: bool,
) -> str:
    """The white space between two parts; `earlier` is the part before the first of them."""
    if before is None:
        return ""
    if isinstance(part, Bracketed):
        tight = part.role in ("call", "index")
    else:
        tight = part.text in _TIGHT_BEFORE or part.kind == "OUTPUT" or (part.text == "=" and not spaced_equals)
    if isinstance(before, Leaf):
        tight = tight or before.text in _TIGHT_AFTER or (before.text == "=" and not spaced_equals)
        unary = before.kind == "MINUS" and not _ends_operand(earlier)
        tight = tight or unary
    return "" if tight else " "


def _ends_operand(part: Leaf | Bracketed | None) -> bool:
    return isinstance(part, Bracketed) or (part is not None and part.kind in _OPERAND_ENDS)


def _comments(gap: str) -> tuple[Comment, ...]:
    found = []
    for match in _COMMENT.finditer(gap):
        alone = "\n" in gap[: match.start()]
        found.append(Comment(match[0].rstrip(), alone))
    return tuple(found)
