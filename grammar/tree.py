"""Build the syntax tree from the parse tree, with the checks that need more than one token."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any, TypeVar

from lark import Token
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive, v_args

from vggc.diagnostics import Code, Diagnostic, nearest
from vggc.diagnostics.source import Source, Span
from vggc.grammar import syntax
from vggc.grammar.keywords import KEYWORDS

UNITS = ("%", "k", "M", "G", "KB", "MB", "GB", "KiB", "MiB", "GiB", "us", "ms", "s", "dB")
ACTIONS: tuple[syntax.Otherwise, ...] = ("fail", "rollback", "warn")

# No real recipe nests values this deep; the limit keeps recursive functions over the tree safe.
MAX_DEPTH = 64
MAX_DIGITS = 40

Node = TypeVar("Node", bound=syntax.Syntax)

_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


class Else(syntax.Syntax):
    """The head `else`, which the parser joins to its `when`."""


@v_args(meta=True)
class TreeBuilder(Transformer_NonRecursive):  # type: ignore[type-arg]
    """Builds the nodes of one statement, whose text starts at `offset` of the source. Errors go to `problems`."""

    def __init__(self, source: Source, offset: int) -> None:
        super().__init__()
        self.source = source
        self.offset = offset
        self.problems: list[Diagnostic] = []
        self.depth: dict[int, int] = {}

    # --- statements ---------------------------------------------------------------------------------------

    def param(self, meta: Meta, children: list[Any]) -> syntax.ParamStatement:
        name, type_, value, bounds = children
        kind = None if type_ is None else self._word(type_)
        return syntax.ParamStatement(self._span(meta), self._declared(name), kind, value, bounds)

    def data(self, meta: Meta, children: list[Any]) -> syntax.DataStatement:
        name, loader = children
        return syntax.DataStatement(self._span(meta), self._declared(name), loader)

    def use(self, meta: Meta, children: list[Any]) -> syntax.UseStatement:
        return syntax.UseStatement(self._span(meta), children[0])

    def define(self, meta: Meta, children: list[Any]) -> syntax.DefineStatement:
        name, parameters = children
        return syntax.DefineStatement(self._span(meta), self._declared(name), parameters or (), ())

    def names(self, meta: Meta, children: list[Token]) -> tuple[syntax.Word, ...]:
        return tuple(self._declared(each) for each in children)

    def repeat(self, meta: Meta, children: list[Any]) -> syntax.RepeatStatement:
        return syntax.RepeatStatement(self._span(meta), ())

    def when(self, meta: Meta, children: list[Any]) -> syntax.WhenStatement:
        return syntax.WhenStatement(self._span(meta), children[0], (), ())

    def otherwise(self, meta: Meta, children: list[Any]) -> Else:
        return Else(self._span(meta))

    def require(self, meta: Meta, children: list[Any]) -> syntax.RequireStatement:
        left, operator, right, action = children
        condition = syntax.Comparison(left.span.to(right.span), operator.value, left, right)
        otherwise: syntax.Otherwise = "fail"
        if action is not None:
            known = {each: each for each in ACTIONS}
            if action.value not in known:
                close = nearest(action.value, known)
                help = f"write `else {close}`" if close else "write `fail`, `rollback` or `warn` after `else`"
                self._problem(f"`{action}` is not an action of `require`", self._token_span(action), help)
            otherwise = known.get(action.value, "fail")
        return syntax.RequireStatement(self._span(meta), condition, otherwise)

    def minimize(self, meta: Meta, children: list[Any]) -> syntax.ObjectiveStatement:
        return syntax.ObjectiveStatement(self._span(meta), "minimize", children[0])

    def maximize(self, meta: Meta, children: list[Any]) -> syntax.ObjectiveStatement:
        return syntax.ObjectiveStatement(self._span(meta), "maximize", children[0])

    def target(self, meta: Meta, children: list[Any]) -> syntax.TargetStatement:
        return syntax.TargetStatement(self._span(meta), children[0])

    def step(self, meta: Meta, children: list[Any]) -> syntax.StepStatement:
        call = children[0]
        if call.name in KEYWORDS:
            self._problem(f"`{call.name}` is a keyword, not a pass", call.name_span, "name a pass here")
        return syntax.StepStatement(self._span(meta), call)

    # --- calls --------------------------------------------------------------------------------------------

    def call(self, meta: Meta, children: list[Any]) -> syntax.Call:
        name, arguments = children
        return self._made(
            syntax.Call(self._span(meta), name.value, self._token_span(name), arguments or ()),
            *(each.value for each in arguments or ()),
        )

    call_value = call

    def arguments(self, meta: Meta, children: list[Any]) -> tuple[syntax.Argument, ...]:
        return tuple(children)

    def named(self, meta: Meta, children: list[Any]) -> syntax.Argument:
        name, value = children
        return syntax.Argument(self._span(meta), self._word(name), value)

    def positional(self, meta: Meta, children: list[Any]) -> syntax.Argument:
        (value,) = children
        if isinstance(value, syntax.Comparison) and value.operator == "==" and isinstance(value.left, syntax.Word):
            name, given = value.left.name, value.right.span.text
            self._problem("an option is written with a single `=`", value.span, f"write `{name}={given}`")
        return syntax.Argument(self._span(meta), None, value)

    # --- values -------------------------------------------------------------------------------------------

    def number(self, meta: Meta, children: list[Token]) -> syntax.Number:
        return self._number(self._span(meta), children[0], sign=1)

    def negative(self, meta: Meta, children: list[Token]) -> syntax.Number:
        return self._number(self._span(meta), children[1], sign=-1)

    def string(self, meta: Meta, children: list[Token]) -> syntax.String:
        return self._string(children[0])

    def true(self, meta: Meta, children: list[Any]) -> syntax.Bool:
        return self._made(syntax.Bool(self._span(meta), True))

    def false(self, meta: Meta, children: list[Any]) -> syntax.Bool:
        return self._made(syntax.Bool(self._span(meta), False))

    def word(self, meta: Meta, children: list[Token]) -> syntax.Word:
        name = children[0]
        if name.value in ("True", "False"):
            self._problem(f"`{name}` is spelled `{name.lower()}`", self._token_span(name), f"write `{name.lower()}`")
        return self._word(name)

    def group(self, meta: Meta, children: list[Any]) -> syntax.Value:
        """A value in parentheses is the value itself; its span includes the parentheses."""
        inner: syntax.Value = children[0]
        return self._made(replace(inner, span=self._span(meta)), inner)

    def range(self, meta: Meta, children: list[Any]) -> syntax.IntervalLiteral:
        if len(children) > 3:
            help = "write LOW..HIGH, or MIN..OPT..MAX for a shape"
            self._problem(f"a range has two or three points, not {len(children)}", self._span(meta), help)
        return self._made(syntax.IntervalLiteral(self._span(meta), tuple(children)), *children)

    def sequence(self, meta: Meta, children: list[Any]) -> syntax.Sequence:
        return self._made(syntax.Sequence(self._span(meta), tuple(children)), *children)

    def mapping(self, meta: Meta, children: list[Any]) -> syntax.Mapping:
        return self._made(syntax.Mapping(self._span(meta), tuple(children)), *(value for _, value in children))

    def entry(self, meta: Meta, children: list[Any]) -> tuple[syntax.String | syntax.Word, syntax.Value]:
        key, value = children
        return (self._string(key) if key.type == "STRING" else self._word(key)), value

    def disjunction(self, meta: Meta, children: list[Any]) -> syntax.Logical:
        return self._made(syntax.Logical(self._span(meta), "or", tuple(children)), *children)

    def conjunction(self, meta: Meta, children: list[Any]) -> syntax.Logical:
        return self._made(syntax.Logical(self._span(meta), "and", tuple(children)), *children)

    def negation(self, meta: Meta, children: list[Any]) -> syntax.Logical:
        return self._made(syntax.Logical(self._span(meta), "not", tuple(children)), *children)

    def comparison(self, meta: Meta, children: list[Any]) -> syntax.Comparison:
        left, operator, right = children
        return self._made(syntax.Comparison(self._span(meta), operator.value, left, right), left, right)

    def sum(self, meta: Meta, children: list[Any]) -> syntax.Value:
        return self._chain(children)

    product = sum

    # --- parts --------------------------------------------------------------------------------------------

    def _chain(self, children: list[Any]) -> syntax.Value:
        """`a - b + c` from the left: each operator's span runs from the first operand to its own right one."""
        left: syntax.Value = children[0]
        for operator, right in zip(children[1::2], children[2::2], strict=True):
            span = left.span.to(right.span)
            left = self._made(syntax.Binary(span, operator.value, left, right), left, right)
        return left

    def _number(self, span: Span, token: Token, sign: int) -> syntax.Number:
        digits, unit = re.fullmatch(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)(.*)", token.value, re.DOTALL).groups()  # type: ignore[union-attr]
        value: int | float = 0
        if len(digits) > MAX_DIGITS:
            self._problem(f"this number has {len(digits)} characters", span, f"write at most {MAX_DIGITS}")
        else:
            value = int(digits) if digits.isdigit() else float(digits)
            if math.isinf(value) or (value == 0 and re.search("[1-9]", re.split("[eE]", digits)[0])):
                self._problem(
                    f"`{digits}` is outside the range of a 64-bit float",
                    span,
                    "write a number that such a float can hold",
                )
        if unit and unit not in UNITS:
            self._problem(*unknown_unit(unit, digits, span))
        return self._made(syntax.Number(span, sign * value, unit))

    def _string(self, token: Token) -> syntax.String:
        def escape(match: re.Match[str]) -> str:
            character = match[1]
            if character not in _ESCAPES:
                start = self.offset + (token.start_pos or 0) + match.start() + 1
                help = 'known escapes: `\\"`, `\\\\`, `\\n`, `\\t`; a backslash itself is `\\\\`, and paths may use `/`'
                self._problem(f"unknown escape `\\{character}`", Span(self.source, start, start + 2), help)
            return _ESCAPES.get(character, character)

        value = re.sub(r"\\(.)", escape, token.value[1:-1])
        return self._made(syntax.String(self._token_span(token), value))

    def _word(self, token: Token) -> syntax.Word:
        return self._made(syntax.Word(self._token_span(token), token.value))

    def _declared(self, token: Token) -> syntax.Word:
        if token.value in KEYWORDS or token.value == "original":
            help = f"choose another name, such as `my_{token}`"
            self._problem(f"`{token}` is a keyword", self._token_span(token), help)
        elif token.value == "_":
            self._problem("`_` is not a name", self._token_span(token), "write a word")
        return self._word(token)

    def _span(self, meta: Meta) -> Span:
        return Span(self.source, self.offset + meta.start_pos, self.offset + meta.end_pos)

    def _token_span(self, token: Token) -> Span:
        return Span(self.source, self.offset + (token.start_pos or 0), self.offset + (token.end_pos or 0))

    def _made(self, node: Node, *children: syntax.Syntax) -> Node:
        depth = 1 + max((self.depth[id(each)] for each in children), default=0)
        if depth == MAX_DEPTH + 1:
            self._problem(f"this value is nested more than {MAX_DEPTH} deep", node.span, "split it into smaller parts")
        self.depth[id(node)] = depth
        return node

    def _problem(self, message: str, span: Span, help: str) -> None:
        self.problems.append(Diagnostic(message, span, help=help, code=Code.UNIT))


def unknown_unit(unit: str, digits: str, span: Span) -> tuple[str, Span, str]:
    """Message, place and help for an unknown unit behind a number."""
    message = f"unknown unit `{unit}`"
    if re.fullmatch(r"_[0-9_]*", unit):
        message, help = "a number cannot contain `_`", f"write `{digits}{unit.replace('_', '')}`"
    elif digits == "0" and re.fullmatch(r"[xX][0-9a-fA-F]+", unit):
        message, help = "numbers must be decimal", f"write `{int(unit[1:], 16)}`"
    elif re.fullmatch(r"x[0-9x]+", unit):
        help = f"a shape is a list: `[{', '.join(f'{digits}{unit}'.split('x'))}]`"
    elif close := nearest(unit, UNITS):
        help = f"a similar unit exists: `{digits}{close}`"
    else:
        help = f"units: {', '.join(f'`{each}`' for each in UNITS)}"
    return message, span, help
