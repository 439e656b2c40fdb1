"""Bind the statements that run: steps, calls of defines, `repeat`, `when` and `require`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vggc.binding.arguments import bind_arguments, match_arguments
from vggc.binding.conditions import bind_condition, bind_requirement
from vggc.binding.evaluate import evaluate
from vggc.binding.rule_groups import grouped
from vggc.binding.scope import KINDS, BindingErrors, Declaration, Definition, Scope, Undetermined, UnknownValue
from vggc.diagnostics import Code, Diagnostics, fail, nearest, spelling_help
from vggc.diagnostics.source import Span
from vggc.grammar import syntax
from vggc.options import Origin
from vggc.pipeline.model import Bound, BoundGate, BoundRepeat, BoundStep, BoundWhen
from vggc.rewrite import Pass

MAX_STEPS = 10_000
"""How many steps a recipe may have once its defines are expanded: defines that call defines multiply quickly."""

MAX_DEPTH = 64
"""How deep calls of defines may be nested."""


@dataclass
class Steps:
    """Binds the statements of a body. Errors go to `diagnostics`; wrong statements are left out of the result."""

    diagnostics: Diagnostics
    count: int = 0

    def bind(self, statements: tuple[syntax.Statement, ...], scope: Scope, via: tuple[Span, ...]) -> tuple[Bound, ...]:
        """The bound steps of a block; `via` are the calls of defines that led to it."""
        body: list[Bound] = []
        for statement in statements:
            try:
                with self.diagnostics.collect():
                    body += self._statement(statement, scope, via)
            except Undetermined:
                continue
        return tuple(body)

    def _statement(self, statement: syntax.Statement, scope: Scope, via: tuple[Span, ...]) -> tuple[Bound, ...]:
        match statement:
            case syntax.StepStatement():
                return self._step(statement.call, scope, via)
            case syntax.RepeatStatement():
                return (BoundRepeat(grouped(self.bind(statement.body, scope, via)), statement.span),)
            case syntax.WhenStatement():
                return self._when(statement, scope, via)
            case syntax.RequireStatement():
                condition = bind_requirement(statement.condition, scope)
                span = statement.condition.span
                return (BoundGate(condition, statement.otherwise, span, _one_line(span.text)),)
            case syntax.TargetStatement():
                help = "move it to the end of the recipe, outside all blocks"
                raise fail(
                    "a `target` cannot stand inside a block", statement.call.name_span, help=help, code=Code.BLOCK
                )
            case _:
                raise fail(
                    "a declaration cannot stand inside a block",
                    first_line(statement),
                    help="move it before the block",
                    code=Code.BLOCK,
                )

    def _when(self, statement: syntax.WhenStatement, scope: Scope, via: tuple[Span, ...]) -> tuple[Bound, ...]:
        condition = None
        try:
            with self.diagnostics.collect():
                condition = bind_condition(statement.condition, scope)
        except Undetermined:
            pass
        body = self.bind(statement.body, scope, via)
        otherwise = self.bind(statement.otherwise, scope, via)
        span = statement.condition.span
        return (BoundWhen(condition, body, otherwise, span, _one_line(span.text)),) if condition else ()

    def _step(self, call: syntax.Call, scope: Scope, via: tuple[Span, ...]) -> tuple[Bound, ...]:
        meaning = self._meaning(call, scope)
        if isinstance(meaning, Definition):
            return self._expand(call, meaning, scope, via)
        options = bind_arguments(call, meaning.schema, scope)
        self.count += 1
        if self.count > MAX_STEPS:
            raise TooManySteps(via[0] if via else call.span)
        return (BoundStep(meaning, options, call.span, via),)

    def _meaning(self, call: syntax.Call, scope: Scope) -> Pass | Definition:
        """What a step's name stands for."""
        declared = scope.find(call.name)
        if declared is not None:
            if isinstance(declared.meaning, Pass | Definition):
                return declared.meaning
            if isinstance(declared.meaning, UnknownValue) and declared.kind == "define":
                help = "a define cannot call itself; `repeat` runs steps again"
                raise fail(f"`{call.name}` calls itself", call.name_span, help=help, code=Code.DEFINE)
            if isinstance(declared.meaning, UnknownValue) and declared.kind == "rule":
                # What is wrong with the rule is reported there.
                raise Undetermined
            raise fail(f"`{call.name}` is {KINDS[declared.kind]}, not a step", call.name_span, code=Code.WRONG_KIND)
        if call.name in scope.registry.passes:
            return scope.registry.passes[call.name]
        if early := scope.too_early(call.name, call.name_span):
            raise early
        raise self._unknown(call, scope)

    def _unknown(self, call: syntax.Call, scope: Scope) -> Exception:
        """The error for a step that is neither a pass nor a define."""
        registry = scope.registry
        known = [*registry.passes, *scope.named("pass", "define", "rule")]
        if call.name in registry.targets:
            help = f"it is a target: write `target {call.name}`"
        elif call.name in registry.loaders:
            help = f"it is a loader: write `data NAME = {call.name}(...)`"
        elif call.name in registry.measures:
            help = f"it is a measure: write `require {call.name} ...`"
        elif scope.incomplete and not nearest(call.name, known):
            # It may come from the file whose `use` failed, and that is reported.
            return Undetermined()
        else:
            help = spelling_help(call.name, known, "passes")
        return fail(f"unknown pass `{call.name}`", call.name_span, help=help, code=Code.UNKNOWN_PASS)

    def _expand(
        self, call: syntax.Call, definition: Definition, scope: Scope, via: tuple[Span, ...]
    ) -> tuple[Bound, ...]:
        """The steps of a define, with the values of this call."""
        if len(via) >= MAX_DEPTH:
            help = "write the steps of the innermost defines where those are called"
            raise fail(
                f"defines call each other more than {MAX_DEPTH} deep", call.name_span, help=help, code=Code.DEFINE
            )
        if not definition.sound:
            raise Undetermined
        diagnostics = BindingErrors()
        names = [each.name for each in definition.parameters]
        matched = match_arguments(call, names, names, diagnostics)
        missing = [] if diagnostics.errors else [each for each in names if each not in matched]
        if missing:
            help = f"write {call.name}({', '.join(f'{each}=...' for each in names)})"
            listed = ", ".join(f"`{each}`" for each in missing)
            diagnostics.error(f"`{call.name}` needs {listed}", call.name_span, help=help, code=Code.DEFINE)
        inner = Scope(scope.registry, definition.scope.folder, definition.scope)
        for name, argument in matched.items():
            declaration = Declaration(name, "argument", UnknownValue(), argument.span, call.span.source.path)
            inner.names[name] = declaration
            with diagnostics.collect():
                given = evaluate(argument.value, scope)
                declaration.meaning = replace(given, origin=Origin(name, argument.value.span, by_call=True))
        self.diagnostics.extend(diagnostics.messages)
        if diagnostics.errors or diagnostics.undetermined:
            raise Undetermined
        return self.bind(definition.body, inner, (*via, call.span))


class TooManySteps(Exception):
    """The recipe has more than MAX_STEPS steps; `span` is the one too many, or the outermost call that leads to it."""

    def __init__(self, span: Span) -> None:
        super().__init__(span)
        self.span = span


def define(statement: syntax.DefineStatement, scope: Scope, diagnostics: Diagnostics) -> None:
    """Declare a `define`, and check its body as far as that is possible without a call."""
    name = statement.name
    declaration = Declaration(name.name, "define", UnknownValue(), name.span, name.span.source.path)
    with diagnostics.collect():
        scope.add(declaration, name.span)
    inner = Scope(scope.registry, scope.folder, scope)
    inside = Diagnostics()
    for each in statement.parameters:
        with inside.collect():
            inner.add(Declaration(each.name, "argument", UnknownValue(), each.span, each.span.source.path), each.span)
    Steps(inside).bind(statement.body, inner, ())
    if not statement.body:
        inside.error(
            f"`{name.name}` has no steps", name.span, code=Code.DEFINE, help="write a step between `{` and `}`"
        )
    for each in statement.parameters:
        declared = inner.names.get(each.name)
        if declared and not declared.used and not inside.errors:
            inside.warning(f"parameter `{each.name}` of `{name.name}` is never used", each.span, code=Code.UNUSED_NAME)
    diagnostics.extend(inside.messages)
    declaration.meaning = Definition(name.name, statement.parameters, statement.body, scope, not inside.errors)


def first_line(statement: syntax.Statement) -> Span:
    """The first line of a statement, without the brace that opens its block."""
    span = statement.span
    return Span(span.source, span.start, span.start + len(span.text.split("\n")[0].rstrip(" {")))


def _one_line(text: str) -> str:
    return " ".join(text.split())
