"""`vggc fmt`: the one canonical layout of a recipe, its comments kept."""

from __future__ import annotations

import re

from vggc.diagnostics.source import Source
from vggc.grammar.layout import INDENT, Bracketed, Item, Leaf, add, item_lines, leaves
from vggc.grammar.outline import BlockEnd, Statement, outline
from vggc.grammar.parser import parse
from vggc.grammar.rule_layout import rule_lines

# Heads of statements that end with a call whose empty parentheses say nothing.
_CALLS = ("NAME", "_TARGET", "_DATA", "_DEFINE")


def format(source: Source) -> str:
    """The recipe in its canonical layout: formatting that again changes nothing, and parsing it gives the same tree.

    Statements keep their order and at most one blank line between them. Raises CompileError, as `parse` does, when the
    recipe is wrong.
    """
    parse(source)
    return _Writer(source).write()


class _Writer:
    def __init__(self, source: Source) -> None:
        self.text = source.text
        self.parts = outline(source).parts
        self.lines: list[str] = []
        self.depth = 0
        self.fresh = True  # at the start of the recipe or of a block, where no blank line stands

    def write(self) -> str:
        done = 0
        waiting: list[str] = []  # comments between a `}` and its `else`
        for part in self.parts:
            gap = self.text[done : part.span.start]
            if isinstance(part, BlockEnd):
                self._gap(gap, closes=True)
                self.depth -= 1
                self._line("}")
                done = part.span.end
                continue
            if self._is_else(part):
                waiting = _comments(gap)
                self.lines[-1] += " else {"
            else:
                self._gap(gap)
                self._statement(part)
            done = part.span.end
            if part.brace is not None:
                done = part.brace + 1
                self.depth += 1
                self.fresh = True
                for each in waiting:
                    self._line(each)
                waiting = []
        self._gap(self.text[done:], closes=True)
        return "\n".join(self.lines) + "\n"

    def _is_else(self, part: Statement) -> bool:
        return part.brace is not None and part.span.text == "else"

    def _line(self, text: str) -> None:
        self.lines.append(" " * (INDENT * self.depth) + text)
        self.fresh = False

    def _gap(self, gap: str, *, closes: bool = False) -> None:
        """Write the comments of the text between two statements, and one blank line for any number of them."""
        same_line, *others = gap.split("\n")
        if not self.lines:
            others.insert(0, same_line)
        elif comment := same_line.strip():
            if self.lines[-1].lstrip().startswith("#"):
                self._line(comment)
            else:
                self.lines[-1] += f"  {comment}"
        blank = False
        for each in others[:-1]:
            if comment := each.strip():
                self._blank_line(blank)
                self._line(comment)
            blank = not comment
        if others and (comment := others[-1].strip()):
            self._blank_line(blank)
            self._line(comment)
        elif not closes:
            self._blank_line(blank)

    def _blank_line(self, wanted: bool) -> None:
        if wanted and not self.fresh:
            self.lines.append("")

    def _statement(self, part: Statement) -> None:
        tokens = leaves(part.span.text)
        first = next(tokens)
        if first.kind == "_RULE":
            self.lines += rule_lines(tokens)
        else:
            item = Item([first])
            for leaf in tokens:
                if leaf.kind != "$END":
                    add(item.parts, leaf, tokens)
            if first.kind in _CALLS and _says_nothing(item.parts[-1]):
                item.parts.pop()
            equals = first.kind in ("_PARAM", "_DATA")
            behind = "" if part.brace is None else " {"
            self.lines += item_lines(item, INDENT * self.depth, behind, spaced_equals=equals)
        self.fresh = False


def _says_nothing(part: Leaf | Bracketed) -> bool:
    return isinstance(part, Bracketed) and part.role == "call" and not part.items and not part.rest


def _comments(gap: str) -> list[str]:
    return [each.strip() for each in re.findall(r"#[^\n]*", gap)]
