"""The canonical layout of a rule: patterns, then `where`, each `let`, and `=>` on lines of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vggc.grammar.layout import INDENT, WIDTH, Item, Leaf, add, flat, item_lines

_WORDS = {"_WHERE": "where ", "_LET": "let ", "_ARROW": "=> "}


@dataclass
class _Section:
    """A part of a rule's body: it starts with `word`, and commas separate its items."""

    word: str
    items: list[Item] = field(default_factory=list)

    @property
    def bare(self) -> bool:
        """Whether it has no comment that would keep it from being written on one line."""
        return not any(each.above or each.behind or each.holds_comments() for each in self.items)

    @property
    def flat(self) -> str:
        equals = self.word == "let "
        return self.word + ", ".join(flat(each.parts, spaced_equals=equals) for each in self.items)


def rule_lines(tokens: Iterator[Leaf]) -> list[str]:
    """The lines of a rule, from its `rule` to its `}`; `tokens` are those behind the word `rule`."""
    head: list[str] = []
    for leaf in tokens:
        if leaf.text == "{":
            break
        head.append(leaf.text)
    name, option = head[0], "".join(head[1:])
    sections, rest = _sections(tokens)
    written = [f"rule {name} {option} {{" if option else f"rule {name} {{"]
    roots, *others = sections
    if others and others[0].word == "where " and roots.bare and others[0].bare:
        together = f"{roots.flat} {others[0].flat}"
        if INDENT + len(together) <= WIDTH:
            written.append(" " * INDENT + together)
            roots, others = _Section(""), others[1:]
    for section in (roots, *others):
        written += _section_lines(section)
    return [*written, *(" " * INDENT + each for each in rest), "}"]


def _section_lines(section: _Section) -> list[str]:
    if section.items and section.bare and INDENT + len(section.flat) <= WIDTH:
        return [" " * INDENT + section.flat]
    if section.word == "where ":
        return _condition_lines(section.items[0])
    written = []
    for index, item in enumerate(section.items):
        behind = "," if index < len(section.items) - 1 else ""
        first, indent = (section.word, INDENT) if index == 0 else ("", INDENT + len(section.word))
        written += item_lines(item, indent, behind, first=first, spaced_equals=section.word == "let ")
    return written


def _condition_lines(item: Item) -> list[str]:
    """A condition; when it is too long for one line, it is broken before each `and` and `or` outside brackets."""
    if not item.holds_comments() and INDENT + len("where ") + len(flat(item.parts)) <= WIDTH:
        return item_lines(item, INDENT, "", first="where ")
    terms = [Item(above=item.above)]
    for part in item.parts:
        if isinstance(part, Leaf) and part.kind in ("_AND", "_OR"):
            terms.append(Item())
        terms[-1].parts.append(part)
    terms[-1].behind = item.behind
    written = []
    for index, term in enumerate(terms):
        first, indent = ("where ", INDENT) if index == 0 else ("", INDENT + 2)
        written += item_lines(term, indent, "", first=first)
    return written


def _sections(tokens: Iterator[Leaf]) -> tuple[list[_Section], list[str]]:
    """The parts of a body up to its `}`, and the comments behind the last one."""
    sections = [_Section("")]
    rest: list[str] = []
    item = Item()
    for leaf in tokens:
        closes = leaf.text == "}"
        ends = closes or leaf.text == "," or leaf.kind in _WORDS
        following = Item()
        for comment in leaf.comments:
            previous = item if item.parts else _last(sections)
            if not comment.alone and previous is not None:
                previous.behind.append(comment.text)
            elif item.parts and not ends:
                item.above.append(comment.text)
            else:
                (rest if closes else following.above if item.parts else item.above).append(comment.text)
        if not ends:
            add(item.parts, leaf, tokens)
            continue
        if item.parts:
            sections[-1].items.append(item)
            item = following
        if leaf.kind in _WORDS:
            sections.append(_Section(_WORDS[leaf.kind]))
        if closes:
            break
    for section in sections:
        for each in section.items:
            each.settle()
    return sections, rest


def _last(sections: list[_Section]) -> Item | None:
    return next((each.items[-1] for each in reversed(sections) if each.items), None)
