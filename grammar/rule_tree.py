"""Build the syntax tree of rules and patterns from the parse tree; TreeBuilder builds everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from lark import Token
from lark.tree import Meta
from lark.visitors import v_args

from vggc.diagnostics.number_text import counted
from vggc.grammar import pattern_syntax as pattern
from vggc.grammar import syntax
from vggc.grammar.tree import TreeBuilder

_INDEX_DIGITS = 4


@v_args(meta=True)
class RuleBuilder(TreeBuilder):
    """Builds the nodes of one statement, rules included."""

    def rule(self, meta: Meta, children: list[Any]) -> syntax.RuleStatement:
        name, tolerance, roots, guard, lets, results = children
        if len(roots) != len(results):
            message = f"the rule has {counted(len(roots), 'pattern')} and {counted(len(results), 'replacement')}"
            span = results[0].span.to(results[-1].span)
            self._problem(message, span, "write one replacement for each pattern, separated by commas")
        rule = syntax.RuleStatement(self._span(meta), self._declared(name), tolerance, roots, guard, lets, results)
        self.check((roots, guard, lets, results))
        return rule

    def check(self, parts: tuple[Any, ...]) -> None:
        """Report errors of single nodes anywhere in a rule or pattern."""
        for node in _nodes(parts):
            if isinstance(node, syntax.Number) and node.unit:
                self._problem("a number in a rule cannot have a unit", node.span, f"write `{node.value}`")
            elif isinstance(node, syntax.Word) and node.name == "_":
                self._problem("`_` has no value", node.span, "capture it under a name in the pattern")

    def tolerance(self, meta: Meta, children: list[Any]) -> syntax.Number:
        option, number = children
        if option.value != "tolerance":
            self._problem(
                f"a rule has no option `{option}`", self._token_span(option), "the only option is `tolerance`"
            )
        elif number.unit or not 0 < number.value < 1:
            help = "write, for example, `tolerance=1e-5`"
            self._problem("a tolerance must be a number between 0 and 1", number.span, help)
        return number  # type: ignore[no-any-return]

    # --- patterns -----------------------------------------------------------------------------------------

    def roots(self, meta: Meta, children: list[Any]) -> tuple[pattern.Root, ...]:
        return tuple(children)

    def node_pattern(self, meta: Meta, children: list[Any]) -> pattern.NodePattern:
        label, operators, inputs, output = children
        attributes = tuple(each for each in inputs if isinstance(each, pattern.AttributeMatch))
        values = self._inputs_first(inputs, pattern.AttributeMatch)
        for each in values[:-1]:
            if isinstance(each, pattern.Rest):
                self._problem(f"`{each.span.text}` must be the last input", each.span, "write it after the others")
        node = pattern.NodePattern(self._span(meta), label, operators, values, attributes, self._index(output))
        return self._made(node, *values, *attributes)

    def label(self, meta: Meta, children: list[Token]) -> syntax.Word:
        name = children[0]
        if name.value[0].isupper():
            help = f"write `{name.lower()}`"
            self._problem(f"`{name}` is capitalised, but only ONNX operators are", self._token_span(name), help)
        return self._word(name)

    def operators(self, meta: Meta, children: list[Any]) -> tuple[pattern.Operator, ...]:
        return tuple(children)

    def operator(self, meta: Meta, children: list[Token]) -> pattern.Operator:
        domain, _, name = children[0].value.rpartition(".")
        return pattern.Operator(self._span(meta), domain, name)

    def inputs(self, meta: Meta, children: list[Any]) -> tuple[Any, ...]:
        return tuple(children)

    def output_of(self, meta: Meta, children: list[Token]) -> pattern.OutputOf:
        label, output = children
        return self._made(pattern.OutputOf(self._span(meta), self._word(label), self._index(output)))

    def capture(self, meta: Meta, children: list[Token]) -> pattern.Capture | pattern.Wildcard:
        return self._capture(meta, children[0], optional=False)

    def optional(self, meta: Meta, children: list[Token]) -> pattern.Capture | pattern.Wildcard:
        return self._capture(meta, children[0], optional=True)

    def rest(self, meta: Meta, children: list[Token]) -> pattern.Rest:
        name = children[0].value
        return self._made(pattern.Rest(self._span(meta), "" if name == "_" else name))

    def constant(self, meta: Meta, children: list[syntax.Number]) -> pattern.ConstantPattern:
        return self._made(pattern.ConstantPattern(self._span(meta), children[0]))

    def attribute_match(self, meta: Meta, children: list[Any]) -> pattern.AttributeMatch:
        name, value = children
        return self._made(pattern.AttributeMatch(self._span(meta), self._word(name), value), value)

    def literals(self, meta: Meta, children: list[Any]) -> pattern.Literals:
        return self._made(pattern.Literals(self._span(meta), tuple(children)), *children)

    # --- replacements -------------------------------------------------------------------------------------

    def lets(self, meta: Meta, children: list[Any]) -> tuple[pattern.Let, ...]:
        return tuple(children)

    def let(self, meta: Meta, children: list[Any]) -> pattern.Let:
        name, value = children
        return pattern.Let(self._span(meta), self._word(name), value)

    def results(self, meta: Meta, children: list[Any]) -> tuple[pattern.Result, ...]:
        return tuple(children)

    def construct(self, meta: Meta, children: list[Any]) -> pattern.Construct:
        label, operator, operands, output, like = children
        attributes = tuple(each for each in operands if isinstance(each, pattern.TermArgument))
        given = self._inputs_first(operands, pattern.TermArgument)
        inputs = tuple(pattern.OmittedInput(each.span) if _is_blank(each) else each for each in given)
        for each in given:
            if isinstance(each, pattern.Rest) and not each.name:
                self._problem("`_...` has no values", each.span, "capture it under a name in the pattern")
        copied = None if like is None else self._word(like)
        node = pattern.Construct(self._span(meta), label, operator, inputs, attributes, self._index(output), copied)
        return self._made(node, *given, *attributes)

    def operands(self, meta: Meta, children: list[Any]) -> tuple[Any, ...]:
        return tuple(children)

    # --- terms --------------------------------------------------------------------------------------------

    def attribute(self, meta: Meta, children: list[Any]) -> pattern.TermArgument:
        name, value = children
        return self._made(pattern.TermArgument(self._span(meta), self._word(name), value), value)

    def any_of(self, meta: Meta, children: list[Any]) -> pattern.LogicalTerm:
        return self._made(pattern.LogicalTerm(self._span(meta), "or", tuple(children)), *children)

    def all_of(self, meta: Meta, children: list[Any]) -> pattern.LogicalTerm:
        return self._made(pattern.LogicalTerm(self._span(meta), "and", tuple(children)), *children)

    def none_of(self, meta: Meta, children: list[Any]) -> pattern.LogicalTerm:
        return self._made(pattern.LogicalTerm(self._span(meta), "not", tuple(children)), *children)

    def relation(self, meta: Meta, children: list[Any]) -> pattern.ComparisonTerm:
        left, operator, right = children
        return self._made(pattern.ComparisonTerm(self._span(meta), operator.value, left, right), left, right)

    def default(self, meta: Meta, children: list[Any]) -> pattern.DefaultTerm:
        return self._made(pattern.DefaultTerm(self._span(meta), tuple(children)), *children)

    def added(self, meta: Meta, children: list[Any]) -> pattern.Term:
        left: pattern.Term = children[0]
        for operator, right in zip(children[1::2], children[2::2], strict=True):
            span = left.span.to(right.span)
            left = self._made(pattern.BinaryTerm(span, operator.value, left, right), left, right)
        return left

    multiplied = added

    def opposite(self, meta: Meta, children: list[Any]) -> pattern.Term:
        inner: pattern.Term = children[1]
        if isinstance(inner, syntax.Number) and not inner.span.text.startswith("("):
            return self._made(syntax.Number(self._span(meta), -inner.value, inner.unit))
        return self._made(pattern.NegativeTerm(self._span(meta), inner), inner)

    def element_at(self, meta: Meta, children: list[Any]) -> pattern.ElementTerm:
        value, index = children
        return self._made(pattern.ElementTerm(self._span(meta), value, index), value, index)

    def captured(self, meta: Meta, children: list[Token]) -> syntax.Word:
        return self._word(children[0])

    def function(self, meta: Meta, children: list[Any]) -> pattern.CallTerm:
        name, arguments = children
        return self._made(pattern.CallTerm(self._span(meta), name.value, self._token_span(name), arguments), *arguments)

    def term_arguments(self, meta: Meta, children: list[Any]) -> tuple[pattern.TermArgument, ...]:
        return tuple(
            each
            if isinstance(each, pattern.TermArgument)
            else self._made(pattern.TermArgument(each.span, None, each), each)
            for each in children
        )

    def items(self, meta: Meta, children: list[Any]) -> pattern.ListTerm:
        return self._made(pattern.ListTerm(self._span(meta), tuple(children)), *children)

    # --- parts --------------------------------------------------------------------------------------------

    def _capture(self, meta: Meta, name: Token, *, optional: bool) -> pattern.Capture | pattern.Wildcard:
        span = self._span(meta)
        if name.value == "_":
            return self._made(pattern.Wildcard(span, optional))
        return self._made(pattern.Capture(span, name.value, optional))

    def _inputs_first(self, operands: tuple[Any, ...], attribute: type) -> tuple[Any, ...]:
        """The operands that are inputs; an input behind an attribute is reported as an error."""
        named = False
        for operand in operands:
            if isinstance(operand, attribute):
                named = True
            elif named:
                self._problem(
                    "this input stands behind an attribute", operand.span, "write all inputs before the attributes"
                )
                break
        return tuple(each for each in operands if not isinstance(each, attribute))

    def _index(self, output: Token | None) -> int:
        """`.1` as 1; without it a node stands for its first output."""
        if output is None:
            return 0
        if len(output) > _INDEX_DIGITS + 1:
            self._problem(
                f"no operator has an output `{output}`", self._token_span(output), "outputs are counted from `.0`"
            )
            return 0
        return int(output[1:])


def _is_blank(operand: syntax.Syntax) -> bool:
    return isinstance(operand, syntax.Word) and operand.name == "_"


def _nodes(parts: Any) -> Iterator[syntax.Syntax]:
    """Every node in nested tuples of nodes. A stack is used, since the tree may be nested too deep for recursion."""
    waiting = [parts]
    while waiting:
        part = waiting.pop()
        if isinstance(part, tuple):
            waiting.extend(part)
        elif isinstance(part, syntax.Syntax):
            yield part
            waiting.extend(getattr(part, each.name) for each in fields(part))
