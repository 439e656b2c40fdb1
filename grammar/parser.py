"""Parse a recipe into its syntax tree, and report all its syntax errors at once."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from lark import Lark
from lark.exceptions import UnexpectedInput

from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.diagnostics.source import Source, Span
from vggc.grammar import syntax
from vggc.grammar.brackets import match_brackets
from vggc.grammar.broken_recipe import BrokenRecipe
from vggc.grammar.outline import BlockEnd, Statement, outline
from vggc.grammar.pattern_syntax import Root
from vggc.grammar.rule_errors import PATTERN_ROWS
from vggc.grammar.rule_tree import RuleBuilder
from vggc.grammar.situation import Row
from vggc.grammar.syntax_errors import STATEMENT_ROWS, diagnose
from vggc.grammar.tree import Else
from vggc.grammar.value_errors import VALUE_ROWS

# A longer statement would take the parser many seconds, and no reader would follow it.
MAX_STATEMENT = 64 * 1024

# How many errors are shown and looked for: nobody reads more, and a megabyte of garbage must not take minutes.
SHOWN_ERRORS = 20
SOUGHT_ERRORS = 500

_OUTSIDE_BLOCKS = (
    syntax.ParamStatement,
    syntax.DataStatement,
    syntax.UseStatement,
    syntax.RuleStatement,
    syntax.DefineStatement,
    syntax.ObjectiveStatement,
)


@cache
def language() -> Lark:
    """The compiled grammar, made on first use."""
    return Lark.open(
        "recipe.lark",
        rel_to=__file__,
        parser="lalr",
        lexer="contextual",
        start=["statement", "value", "roots"],
        propagate_positions=True,
        maybe_placeholders=True,
    )


def parse(source: Source) -> syntax.Recipe:
    """The syntax tree of a recipe. Raises BrokenRecipe with all syntax errors found, at most SHOWN_ERRORS of them."""
    reader = _Reader(source)
    statements = reader.read()
    errors = sorted(reader.errors, key=lambda each: each.span.start if each.span else 0)
    if len(errors) > SHOWN_ERRORS:
        more = f"{len(errors) - SHOWN_ERRORS}{' or more' if len(errors) >= SOUGHT_ERRORS else ''}"
        errors = [
            *errors[:SHOWN_ERRORS],
            Diagnostic(f"`{source.path}` has {more} more syntax errors", code=Code.STATEMENT),
        ]
    if errors:
        raise BrokenRecipe(*errors, recipe=syntax.Recipe(source, statements), broken=tuple(reader.broken))
    if not statements:
        help = "write a step, such as `simplify`, and a `target`"
        raise fail("the recipe has no steps", Span(source, 0, 0), help=help, code=Code.EMPTY_RECIPE)
    return syntax.Recipe(source, statements)


def parse_value(source: Source) -> syntax.Value:
    """The syntax tree of one value, such as `50%`: what `--set NAME=VALUE` gives. Raises CompileError."""
    value: syntax.Value = _parse_part(source, "value", VALUE_ROWS)
    return value


def parse_pattern(source: Source) -> tuple[Root, ...]:
    """The patterns of `@rewrites("Clip(Relu(x), lo, hi)")`, one or several with commas between. Raises CompileError."""
    roots: tuple[Root, ...] = _parse_part(source, "roots", PATTERN_ROWS)
    return roots


def _parse_part(source: Source, start: str, rows: tuple[Row, ...]) -> Any:
    """Parse a text that is only a part of a statement."""
    errors = list(match_brackets(source).problems)
    if not errors and len(source.text) > MAX_STATEMENT:
        raise fail(
            f"this text has {len(source.text):,} characters",
            help=f"write at most {MAX_STATEMENT:,}",
            code=Code.TOO_LARGE,
        )
    if not errors:
        try:
            tree = language().parse(source.text, start=start)
        except UnexpectedInput as error:
            raise CompileError(diagnose(error, Span(source, 0, len(source.text)), rows)) from None
        builder = RuleBuilder(source, 0)
        part = builder.transform(tree)
        if start == "roots":
            builder.check(part)
        errors = builder.problems
        if not errors:
            return part
    raise CompileError(*errors[:SHOWN_ERRORS])


@dataclass
class _Block:
    """A block that is being read: its head (None if the head is wrong) and its statements so far.

    `word` is the first word of the head, whether that is wrong or not.
    """

    head: syntax.Statement | Else | None
    word: str
    body: list[syntax.Statement] = field(default_factory=list)


class _Reader:
    """Reads the parts of an outline in order; a stack holds the blocks still open, so nothing recurses."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.errors: list[Diagnostic] = []
        self.broken: list[Span] = []
        self.open: list[_Block] = []
        self.statements: list[syntax.Statement] = []
        # Whether an `else` may follow: the last thing read was a whole `when`, or a block whose head is wrong.
        self.else_may_follow = False

    def read(self) -> tuple[syntax.Statement, ...]:
        outlined = outline(self.source)
        self.errors.extend(outlined.problems)
        broken = sorted(each.span.start for each in outlined.problems if each.span)
        for part in outlined.parts:
            if len(self.errors) >= SOUGHT_ERRORS:
                break
            if isinstance(part, BlockEnd):
                self._end_block(part.span)
            else:
                first = bisect_left(broken, part.span.start)
                whole = first == len(broken) or broken[first] >= part.span.end
                before = len(self.errors)
                self._read_statement(part, self._parse(part) if whole else None)
                if not whole or len(self.errors) > before:
                    self.broken.append(part.span)
        while self.open:
            self._keep_body(self.open.pop())
        return tuple(self.statements)

    def _parse(self, part: Statement) -> syntax.Statement | Else | None:
        """The node of a statement, without its block; None when it is wrong, which is recorded as an error."""
        text = part.span.text
        if not text:
            self._error(
                "this block belongs to nothing", _brace(part), "write `repeat`, `when ...` or `define ...` before it"
            )
            return None
        if part.crowded and not text.startswith("else"):
            self._error("there are two statements on one line", part.span, "write the second one on a line of its own")
            return None
        if len(text) > MAX_STATEMENT:
            start = Span(self.source, part.span.start, part.span.start + 1)
            self._error(f"this statement has {len(text):,} characters", start, f"write at most {MAX_STATEMENT:,}")
            return None
        try:
            tree = language().parse(text, start="statement")
        except UnexpectedInput as error:
            self.errors.append(diagnose(error, part.span, STATEMENT_ROWS))
            return None
        builder = RuleBuilder(self.source, part.span.start)
        node: syntax.Statement | Else = builder.transform(tree)
        self.errors.extend(builder.problems)
        # For example, a statement with a number in an unknown unit cannot be bound.
        return None if builder.problems else node

    def _read_statement(self, part: Statement, node: syntax.Statement | Else | None) -> None:
        else_may_follow, self.else_may_follow = self.else_may_follow, False
        if isinstance(node, Else) and not else_may_follow:
            self._error("this `else` has no `when`", node.span, "write it after the `}` of a `when`")
            node = None
        if self.open and isinstance(node, _OUTSIDE_BLOCKS):
            self._error(f"`{_first_word(part)}` cannot stand inside a block", part.span, "move it before the block")
        takes_block = isinstance(node, Else | syntax.WhenStatement | syntax.RepeatStatement | syntax.DefineStatement)
        if part.brace is None:
            if takes_block:
                end = Span(self.source, part.span.end, part.span.end)
                self._error(f"`{_first_word(part)}` needs a block", end, "write `{` here, and `}` where the block ends")
                self.else_may_follow = True
            elif node is not None:
                self._add(node)
            return
        if node is not None and not takes_block:
            help = "blocks follow `define`, `repeat`, `when` and `else`"
            self._error(f"`{_first_word(part)}` takes no block", _brace(part), help)
            node = None
        self.open.append(_Block(node, _first_word(part) if part.span.text else ""))

    def _end_block(self, closing: Span) -> None:
        block = self.open.pop()
        head, body = block.head, tuple(block.body)
        self.else_may_follow = head is None or isinstance(head, syntax.WhenStatement)
        siblings = self._siblings
        if isinstance(head, Else):
            when = siblings[-1] if siblings else None
            if isinstance(when, syntax.WhenStatement):
                siblings[-1] = replace(when, otherwise=body, span=when.span.to(closing))
        elif isinstance(head, syntax.WhenStatement | syntax.RepeatStatement | syntax.DefineStatement):
            siblings.append(replace(head, body=body, span=head.span.to(closing)))
        elif head is None:
            self._keep_body(block)

    def _keep_body(self, block: _Block) -> None:
        """Keep the statements of a block that is wrong, so that they are checked all the same.

        In a `define` or `rule` they need its parameters.
        """
        if block.word in ("repeat", "when", "else"):
            self._siblings.extend(block.body)

    @property
    def _siblings(self) -> list[syntax.Statement]:
        """The statements of the innermost open block, or of the recipe when no block is open."""
        return self.open[-1].body if self.open else self.statements

    def _add(self, node: syntax.Statement | Else) -> None:
        if not isinstance(node, Else):
            self._siblings.append(node)

    def _error(self, message: str, span: Span, help: str) -> None:
        self.errors.append(Diagnostic(message, span, help=help, code=Code.BLOCK))


def _brace(part: Statement) -> Span:
    """The `{` behind a block's head."""
    assert part.brace is not None
    return Span(part.span.source, part.brace, part.brace + 1)


def _first_word(part: Statement) -> str:
    return next(iter(part.span.text.split("(")[0].split()), "")
