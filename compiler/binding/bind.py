"""Bind a recipe: turn its syntax tree into a pipeline, with every name resolved and every option typed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from vggc.binding.comparisons import bind_objective
from vggc.binding.conditions import bind_requirement
from vggc.binding.data import bind_data, declare_given
from vggc.binding.params import Limits, Overrides, bind_param, plain
from vggc.binding.registry import Registry, shipped
from vggc.binding.rule_groups import check_rules_together
from vggc.binding.rules import declare_rule, declared_rules
from vggc.binding.scope import Declaration, Definition, Scope, Undetermined, UnknownValue
from vggc.binding.steps import MAX_STEPS, Steps, TooManySteps, define, first_line
from vggc.binding.targets import Written, bind_target
from vggc.binding.uses import Uses, declared_names
from vggc.data import Dataset
from vggc.diagnostics import Code, CompileError, Diagnostic, Diagnostics, fail, nearest, spelling_help
from vggc.diagnostics.source import Source, Span
from vggc.grammar import syntax
from vggc.grammar.broken_recipe import BrokenRecipe
from vggc.grammar.kept_trees import read_tree
from vggc.grammar.shipped_recipes import recipe_file
from vggc.options import Given
from vggc.pipeline.conditions import Measured
from vggc.pipeline.model import Bound, BoundData, BoundObjective, BoundTarget, Pipeline
from vggc.pipeline.precheck import check_body
from vggc.rewrite import Destination

RECIPE_TEXT = "recipe text"
"""What messages and reports call a recipe without a file."""


def bind(
    recipe: syntax.Recipe,
    *,
    overrides: Mapping[str, str] | None = None,
    registry: Registry | None = None,
    python: bool = True,
) -> Pipeline:
    """Bind a recipe. `overrides` are the texts that `--set` gives to parameters; `registry` is vggc's own by default.

    Without `python`, a recipe that brings in a Python file, itself or through another recipe, is refused.

    Raises CompileError with all errors of the recipe and of the files it uses, its warnings among them.
    """
    return _Binder(recipe, Overrides(overrides or {}), registry or shipped(), python=python).bind()


def bind_with_measure(
    recipe: syntax.Recipe, measure: str, origin: str, *, overrides: Mapping[str, str] | None = None
) -> tuple[Pipeline, Measured]:
    """Bind a recipe and a measure written beside it, which may name its data: `agreement(test)`.

    `origin` says in messages where the measure was written. Raises CompileError as `bind` does, and when the text is
    not one measure.
    """
    from vggc.grammar.parser import parse

    asked = parse(Source(origin, f"require {measure} == original\n"))
    (statement, *more) = asked.statements
    if more or not isinstance(statement, syntax.RequireStatement):
        raise fail(
            f"{origin} takes one measure", help=f"for example {origin} 'agreement(test)'", code=Code.NOT_A_MEASURE
        )
    binder = _Binder(recipe, Overrides(overrides or {}), shipped(), statement.condition)
    pipeline = binder.bind()
    assert binder.measured is not None
    return pipeline, binder.measured


def bind_file(
    path: Path,
    *,
    overrides: Mapping[str, str] | None = None,
    registry: Registry | None = None,
    python: bool = True,
    data: Mapping[str, Dataset] | None = None,
) -> Pipeline:
    """Read and bind a recipe; see `bind`. A syntax error does not hide what is wrong with the other statements.

    Each data set of `data` takes the place of the `data` statement of its name, or is declared before all statements.
    """
    return _bind_read(lambda: read_tree(path), Overrides(overrides or {}), registry or shipped(), python, data or {})


def bind_text(
    text: str,
    *,
    path: str = RECIPE_TEXT,
    overrides: Mapping[str, str] | None = None,
    python: bool = True,
    data: Mapping[str, Dataset] | None = None,
) -> Pipeline:
    """Bind the text of a recipe, as `bind_file` does. Its paths are relative to the folder of `path`."""

    return _bind_read(lambda: text_tree(text, path), Overrides(overrides or {}), shipped(), python, data or {})


def text_tree(text: str, path: str = RECIPE_TEXT) -> syntax.Recipe:
    """The syntax tree of the text of a recipe; `path` names it in messages. Raises CompileError."""
    # lark takes a while to load, and is not needed for a recipe whose tree is kept.
    from vggc.grammar.parser import parse

    return parse(Source(path, text.replace("\r\n", "\n").replace("\r", "\n")))


def _bind_read(
    read: Callable[[], syntax.Recipe],
    overrides: Overrides,
    registry: Registry,
    python: bool,
    data: Mapping[str, Dataset],
) -> Pipeline:
    try:
        recipe = read()
    except BrokenRecipe as error:
        if error.recipe is None:
            raise
        others = _Binder(error.recipe, overrides, registry, python=python, given=data, broken=error.broken).errors()
        raise CompileError(*sorted([*error.diagnostics, *others], key=_order(error.recipe.source))) from None
    return _Binder(recipe, overrides, registry, python=python, given=data).bind()


def _order(source: Source) -> Callable[[Diagnostic], float]:
    """Sorts messages by their place in a recipe; those about other files stand at the end."""
    return lambda each: each.span.start if each.span and each.span.source == source else math.inf


_DECLARES = re.compile(r"^[ \t]*(param|data|define|rule|use)\b[ \t]*([a-z_]\w*)?", re.MULTILINE)


class _Binder:
    def __init__(
        self,
        recipe: syntax.Recipe,
        overrides: Overrides,
        registry: Registry,
        asked: syntax.Comparison | None = None,
        *,
        python: bool = True,
        given: Mapping[str, Dataset] | None = None,
        broken: tuple[Span, ...] | None = None,
    ) -> None:
        self.asked = asked
        self.measured: Measured | None = None
        self.recipe = recipe
        self.overrides = overrides
        self.diagnostics = Diagnostics()
        path = Path(recipe.source.path)
        self.scope = Scope(registry, path.parent, later=declared_names(recipe))
        self.uses = Uses(self.diagnostics, [recipe_file(path).resolve()], python)
        self.steps = Steps(self.diagnostics)
        self.body: list[Bound] = []
        self.data: dict[str, BoundData] = {}
        self.given = given or {}
        self.targets: list[BoundTarget] = []
        self.objectives: list[BoundObjective] = []
        self.space: dict[str, Limits] = {}
        self.files: Written = {}
        self.last_target: Span | None = None
        self.broken = broken
        for span in broken or ():
            self._declare_unknown(span)

    def _declare_unknown(self, broken: Span) -> None:
        """Let the names that a wrong statement declares be known, although their meaning is not."""
        for found in _DECLARES.finditer(broken.text):
            kind, name = found.groups()
            if kind == "use":
                self.scope.incomplete = True
            elif name:
                self.overrides.claim(name)
                place = Span(broken.source, broken.start + found.start(2), broken.start + found.end(2))
                meaning = Definition(name, (), (), self.scope, False) if kind == "define" else UnknownValue()
                self.scope.names.setdefault(name, Declaration(name, kind, meaning, place, broken.source.path))

    def errors(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the statements of a recipe that has syntax errors."""
        self._read()
        return self.diagnostics.errors

    def bind(self) -> Pipeline:
        """The pipeline. Raises CompileError with all errors."""
        self._read()
        self.diagnostics.raise_errors()
        self._warn_unused()
        params = [each for each in self.scope.names.values() if each.kind == "param"]
        return Pipeline(
            source=self.recipe.source,
            params={each.name: plain(each.meaning) for each in params if isinstance(each.meaning, Given)},
            data=self.data,
            body=tuple(self.body),
            targets=tuple(self.targets),
            objectives=tuple(self.objectives),
            space=self.space,
            rules=declared_rules(self.scope, self.recipe.source),
            files=self.uses.files,
            warnings=tuple(self.diagnostics.messages),
        )

    def _read(self) -> None:
        """Bind all statements, and collect what is wrong with them, alone and together."""
        described = {each.name.name for each in self.recipe.statements if isinstance(each, syntax.DataStatement)}
        declared = (each for each in self.recipe.statements if isinstance(each, syntax.ParamStatement))
        params_at = {each.name.name: each.name.span for each in declared}
        beside = [name for name in self.given if name not in described and name not in params_at]
        for name in self.given:
            if name in params_at:
                help = spelling_help(name, described, "its data") or "the recipe has no data"
                message = f"`{name}` is a parameter of the recipe, not data"
                self.diagnostics.error(message, params_at[name], help=help, code=Code.UNKNOWN_NAME)
        for name in beside:
            with self.diagnostics.collect():
                self.data[name] = declare_given(name, self.given[name], self.scope)
        try:
            for statement in self.recipe.statements:
                self._statement(statement)
        except TooManySteps as error:
            help = "a `define` that calls another one twice doubles its steps"
            self.diagnostics.error(
                f"the recipe has more than {MAX_STEPS:,} steps", error.span, help=help, code=Code.TOO_LARGE
            )
        params = [each.name for each in self.scope.names.values() if each.kind == "param"]
        self.diagnostics.extend(self.overrides.unclaimed(params))
        if self.broken is None:
            self._must_do_something()
        self._must_be_used(beside, described)
        self.diagnostics.extend(check_rules_together(self.body))
        if self.diagnostics.errors or self.broken is not None:
            # All errors are reported at once. Otherwise these checks run later, together with those for the model.
            destinations = tuple(Destination(each.target.name, each.options) for each in self.targets)
            self.diagnostics.extend(check_body(self.body, self.objectives, destinations))
        if self.asked is not None:
            with self.diagnostics.collect(), suppress(Undetermined):
                self.measured = self._measure(self.asked)

    def _measure(self, asked: syntax.Comparison) -> Measured:
        bound = bind_requirement(asked, self.scope)
        if not isinstance(bound.left, Measured):
            raise fail(
                "this is not a measure",
                asked.left.span,
                help="name one measure, such as `agreement(test)`",
                code=Code.NOT_A_MEASURE,
            )
        return bound.left

    def _statement(self, statement: syntax.Statement) -> None:
        try:
            with self.diagnostics.collect():
                match statement:
                    case syntax.ParamStatement():
                        space = bind_param(statement, self.scope, self.overrides)
                        if space is not None:
                            self.space[statement.name.name] = space
                    case syntax.DataStatement():
                        bound = bind_data(statement, self.scope, self.given.get(statement.name.name))
                        if bound:
                            self.data[bound.name] = bound
                    case syntax.UseStatement():
                        self.uses.bind_use(statement, self.scope)
                    case syntax.DefineStatement():
                        define(statement, self.scope, self.diagnostics)
                    case syntax.RuleStatement():
                        declare_rule(statement, self.scope, self.diagnostics)
                    case syntax.ObjectiveStatement():
                        self._objective(statement)
                    case syntax.TargetStatement():
                        self.last_target = statement.call.span
                        self.targets.append(bind_target(statement, self.scope, self.files))
                    case _:
                        self._step(statement)
        except Undetermined:
            # The value that it depends on is wrong and has been reported.
            return

    def _step(self, statement: syntax.Statement) -> None:
        if self.last_target:
            note = ("note", f"the target stands at {self.last_target.place}")
            help = "a target is made from the finished model: move the targets to the end"
            self.diagnostics.error(
                "this step follows a target", statement.span, facts=(note,), help=help, code=Code.BLOCK
            )
            self.last_target = None
        self.body += self.steps.bind((statement,), self.scope, ())

    def _objective(self, statement: syntax.ObjectiveStatement) -> None:
        bound = bind_objective(statement, self.scope)
        for each in self.objectives:
            if each.measured == bound.measured:
                note = ("note", f"it is first given at {each.span.place}")
                raise CompileError(
                    Diagnostic("this objective is given twice", bound.span, facts=(note,), code=Code.OBJECTIVE)
                )
        self.objectives.append(bound)

    def _must_do_something(self) -> None:
        kinds = (
            syntax.StepStatement,
            syntax.RepeatStatement,
            syntax.WhenStatement,
            syntax.RequireStatement,
            syntax.TargetStatement,
        )
        if not any(isinstance(each, kinds) for each in self.recipe.statements):
            help = (
                "write a step, such as `simplify`, and a `target`; a recipe of defines alone is brought in with `use`"
            )
            place = first_line(self.recipe.statements[0])
            self.diagnostics.error(
                "the recipe does nothing: it has no step and no target", place, help=help, code=Code.EMPTY_RECIPE
            )

    def _must_be_used(self, given: Sequence[str], described: Collection[str]) -> None:
        """Refuse data sets that a program gives when no statement names them: a misspelt name would change nothing.

        In a recipe without data, the models before and after are compared on them. A statement with errors may be the
        one that names them, so that beside errors only names like those of the recipe's data are refused.
        """
        wrong = bool(self.diagnostics.errors)
        for name in given if described else ():
            declaration = self.scope.names.get(name)
            if declaration and not declaration.used and not (wrong and nearest(name, described) is None):
                help = spelling_help(name, described, "its data")
                self.diagnostics.error(
                    f"the recipe uses no data `{name}`", declaration.span, help=help, code=Code.UNKNOWN_PARAM
                )

    def _warn_unused(self) -> None:
        # The first data set is always used: the models before and after are compared on its samples.
        compared = next(iter(self.data), None)
        what = {"param": "parameter", "data": "data set", "rule": "rule"}
        for each in self.scope.names.values():
            own = each.span is not None and each.span.source is self.recipe.source
            if not each.used and own and each.kind in what and each.name != compared:
                self.diagnostics.warning(
                    f"{what[each.kind]} `{each.name}` is never used", each.span, code=Code.UNUSED_NAME
                )
