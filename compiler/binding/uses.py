"""Bind `use` statements: bring what other recipes and Python files declare into the scope of a recipe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from vggc.binding.files import must_be_file
from vggc.binding.modules import TEXT_HASH, definitions, import_file
from vggc.binding.rules import declare_rule
from vggc.binding.scope import Declaration, Scope
from vggc.binding.steps import define, first_line
from vggc.diagnostics import Code, CompileError, Diagnostics, at, fail
from vggc.diagnostics.source import Span
from vggc.grammar import syntax
from vggc.grammar.kept_trees import read_tree
from vggc.grammar.shipped_recipes import is_shipped, recipe_file
from vggc.options import defined_at

_NOT_IN_LIBRARY: dict[type[syntax.Statement], str] = {
    syntax.ParamStatement: "a `param`",
    syntax.DataStatement: "a `data` statement",
    syntax.StepStatement: "a step",
    syntax.RepeatStatement: "a step",
    syntax.WhenStatement: "a step",
    syntax.RequireStatement: "a `require`",
    syntax.ObjectiveStatement: "an objective",
    syntax.TargetStatement: "a `target`",
}


@dataclass
class Library:
    """What a used file declares for the recipes that use it."""

    exports: list[Declaration] = field(default_factory=list)
    incomplete: bool = False


@dataclass
class Uses:
    """The files used so far. Each is read once, however many recipes use it; messages go to `diagnostics`."""

    diagnostics: Diagnostics
    open: list[Path]
    """the recipes being read: the main one, the one that it uses, and so on"""
    python: bool = True
    """whether Python files may be imported"""
    libraries: dict[Path, Library] = field(default_factory=dict)
    files: dict[Path, str] = field(default_factory=dict)
    """the SHA-256 of the text of each file, as it was read"""

    def bind_use(self, statement: syntax.UseStatement, scope: Scope) -> None:
        """Declare what a file declares.

        Raises CompileError for a file that is missing or wrong, for recipes that use each other in a circle, and
        for a name that already has a meaning.
        """
        span = statement.path.span
        try:
            with at(span):
                path = _path(statement.path.value, scope.folder)
                library = self._library(path, scope)
                file = recipe_file(path).resolve()
        except CompileError:
            scope.incomplete = True
            raise
        if file in scope.used:
            self.diagnostics.warning(f"`{path.name}` is used twice", span, code=Code.USE)
        scope.used.add(file)
        scope.incomplete = scope.incomplete or library.incomplete
        diagnostics = Diagnostics()
        for each in library.exports:
            with diagnostics.collect():
                scope.add(replace(each, used=False), span)
        diagnostics.raise_errors()

    def _library(self, path: Path, scope: Scope) -> Library:
        _check_path(path)
        if path.suffix == ".py" and not self.python:
            help = "read the file, and leave out --no-python if you trust it: it runs with your permissions"
            raise fail(f"`{path.name}` is Python, which --no-python refuses", help=help, code=Code.PYTHON_REFUSED)
        key = recipe_file(path).resolve()
        if key in self.open:
            circle = " -> ".join(each.name for each in [*self.open[self.open.index(key) :], key])
            help = "move what both need into a third recipe"
            raise fail("recipes use each other in a circle", facts=(("circle", circle),), help=help, code=Code.USE)
        if key not in self.libraries:
            self.libraries[key] = Library(incomplete=True)
            self.libraries[key] = self._python(path) if path.suffix == ".py" else self._recipe(path, scope)
        return self.libraries[key]

    def _recipe(self, path: Path, scope: Scope) -> Library:
        """What a used recipe declares. Its errors go to `diagnostics`, except those that keep it from being read."""
        recipe = read_tree(path)
        file = recipe_file(path)
        self.files[file] = hashlib.sha256(recipe.source.text.encode()).hexdigest()
        inner = Scope(scope.registry, path.parent)
        inner.later = declared_names(recipe)
        diagnostics = Diagnostics()
        self.open.append(file.resolve())
        for statement in recipe.statements:
            with diagnostics.collect():
                match statement:
                    case syntax.UseStatement():
                        self.bind_use(statement, inner)
                    case syntax.DefineStatement():
                        define(statement, inner, diagnostics)
                    case syntax.RuleStatement():
                        declare_rule(statement, inner, diagnostics)
                    case _:
                        raise _no_declaration(statement)
        self.open.pop()
        self.diagnostics.extend(diagnostics.messages)
        return Library(list(inner.names.values()), inner.incomplete or bool(diagnostics.errors))

    def _python(self, path: Path) -> Library:
        module = import_file(path)
        self.files[path] = vars(module)[TEXT_HASH]
        exports = [
            Declaration(name, kind, value, None, defined_at(value.function)[0][1])
            for kind, name, value in definitions(module)
        ]
        if not exports:
            help = (
                "a pass is a function under `@whole_graph` or `@rewrites`; or see `@loader`, `@measure`, `@predicate`, "
                "`@target`"
            )
            raise fail(
                f"`{path}` defines no pass, loader, measure, predicate or target", help=help, code=Code.PYTHON_FUNCTION
            )
        return Library(exports)


def declared_names(recipe: syntax.Recipe) -> dict[str, Span]:
    """The names that the statements of a recipe declare, with the place of the first declaration."""
    names: dict[str, Span] = {}
    for statement in recipe.statements:
        if isinstance(
            statement, syntax.ParamStatement | syntax.DataStatement | syntax.DefineStatement | syntax.RuleStatement
        ):
            names.setdefault(statement.name.name, statement.name.span)
    return names


def _path(written: str, folder: Path) -> Path:
    """The recipe or file that a `use` names: relative to the recipe's folder, or one that comes with vggc."""
    return Path(written) if is_shipped(Path(written)) else folder / written


def _check_path(path: Path) -> None:
    file = recipe_file(path)
    if path.suffix not in (".opt", ".py"):
        help = "name a recipe, `NAME.opt`, or a Python file, `NAME.py`"
        raise fail(f"`use` cannot bring in `{path.name}`", help=help, code=Code.USE)
    must_be_file(file)


def _no_declaration(statement: syntax.Statement) -> CompileError:
    """The error for a statement that only the main recipe may have."""
    what = _NOT_IN_LIBRARY[type(statement)]
    help = "such a recipe can hold only `rule`, `define` and `use`; a `define` takes values as parameters"
    return fail(
        f"{what} cannot stand in a recipe that is brought in with `use`",
        first_line(statement),
        help=help,
        code=Code.USE,
    )
