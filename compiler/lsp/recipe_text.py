"""A recipe as it is being typed: its statements, its messages, and what is around an offset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vggc.diagnostics import Code, CompileError, Diagnostic, Source, Span
from vggc.grammar import syntax
from vggc.grammar.broken_recipe import BrokenRecipe

_WORD = re.compile(r"[A-Za-z_]\w*")
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"?|#[^\n]*|[()\[\]{}]|\n|[A-Za-z_]\w*')


@dataclass(frozen=True)
class Cursor:
    """What is around an offset of a recipe.

    head    the first word of the statement, "" at its beginning
    line    the text of the statement before the offset
    call    the name of the innermost call whose parentheses are open, "" for none
    given   what is between its `(` and the offset
    option  the option whose value is written at the offset: `align` behind `align=`, "" for none
    quoted  the text of the string that is open at the offset, None outside of strings
    """

    head: str
    line: str
    call: str
    given: str
    option: str
    quoted: str | None


@dataclass(frozen=True)
class RecipeText:
    """The text of a recipe in the file `path`. Its Python files run only when `python` is true."""

    path: Path
    text: str
    python: bool = False

    @cached_property
    def source(self) -> Source:
        return Source(str(self.path), self.text)

    @cached_property
    def statements(self) -> tuple[syntax.Statement, ...]:
        """The statements that can be read."""
        from vggc.grammar.parser import parse

        try:
            return parse(self.source).statements
        except BrokenRecipe as error:
            return error.recipe.statements if error.recipe is not None else ()
        except CompileError:
            return ()

    @cached_property
    def messages(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the recipe for any model, as `vggc check RECIPE` finds it."""
        from vggc.binding.bind import bind_text
        from vggc.pipeline.precheck import check_options

        try:
            pipeline = bind_text(self.text, path=str(self.path), python=self.python)
            return (*pipeline.warnings, *check_options(pipeline))
        except CompileError as error:
            return error.diagnostics

    @property
    def errors(self) -> int:
        """The number of errors, without the one that says that Python files do not run here."""
        return sum(each.severity == "error" and each.code is not Code.PYTHON_REFUSED for each in self.messages)

    def word(self, offset: int) -> Span | None:
        """The name that an offset is in or behind; None in comments and between names."""
        for match in _WORD.finditer(self.text):
            if match.start() <= offset <= match.end():
                return Span(self.source, match.start(), match.end())
        return None

    def declarations(self, name: str) -> Iterator[Span]:
        """Where `name` is declared in this recipe: by param, data, define, rule, or as a parameter of a define."""
        for each in walk(self.statements):
            if isinstance(
                each, syntax.ParamStatement | syntax.DataStatement | syntax.DefineStatement | syntax.RuleStatement
            ):
                names = [each.name]
                if isinstance(each, syntax.DefineStatement):
                    names += each.parameters
                yield from (word.span for word in names if word.name == name)

    def cursor(self, offset: int) -> Cursor:
        """What is around an offset, also in a statement that is not complete."""
        opened: list[tuple[str, int]] = []
        start, before, quoted = 0, "", None
        for token in _TOKEN.finditer(self.text[:offset]):
            sign = token[0]
            if sign[0] == '"':
                quoted = sign[1:] if token.end() == offset and (len(sign) == 1 or sign[-1] != '"') else None
            elif sign in "([":
                opened.append((before if sign == "(" else "", token.end()))
            elif sign in ")]" and opened:
                opened.pop()
            elif sign in "{}":
                if sign == "{" and opened:
                    opened.append(("", token.end()))
                elif sign == "}" and opened:
                    opened.pop()
                else:
                    start = token.end()
            elif sign == "\n" and not opened:
                start = token.end()
            before = sign if sign[0].isalpha() or sign[0] == "_" else ""
        line = self.text[start:offset].lstrip()
        call, since = next(((name, at) for name, at in reversed(opened) if name), ("", offset))
        given = self.text[since:offset]
        option = re.search(r"(\w+)\s*=[^=,()]*$", given)
        word = _WORD.match(line)
        head = word[0] if word and word.end() < len(line) else ""
        return Cursor(head, line, call, given, option[1] if option else "", quoted)


def walk(statements: tuple[syntax.Statement, ...]) -> Iterator[syntax.Statement]:
    """The statements and those in their blocks, in the order of the text."""
    for each in statements:
        yield each
        if isinstance(each, syntax.DefineStatement | syntax.RepeatStatement | syntax.WhenStatement):
            yield from walk(each.body)
        if isinstance(each, syntax.WhenStatement):
            yield from walk(each.otherwise)
