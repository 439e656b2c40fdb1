"""The names of one recipe file: what each stands for, and where it was declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vggc.binding.registry import Registry
from vggc.data import Loader
from vggc.diagnostics import Code, CompileError, Diagnostic, Diagnostics, fail
from vggc.diagnostics.source import Span
from vggc.grammar import syntax
from vggc.measures import Measure
from vggc.options import Given
from vggc.rewrite import Pass, Predicate
from vggc.targets.contract import Target

CONDITION_WORDS = {
    "original": "the model as read",
    "has": "a condition of the language",
    "dynamic": "a condition of the language",
    "opset": "a condition of the language",
}
"""What else than measures a condition can name, and what each is."""


class Undetermined(Exception):
    """A value that is not known: its declaration is wrong and reported, or it is the parameter of a `define`.

    The check of the statement continues with its other values.
    """


class BindingErrors(Diagnostics):
    """Collects what is wrong with several values, and remembers whether one of them is not known."""

    undetermined = False

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep the messages of a CompileError, or that a value is Undetermined, and go on after the block."""
        try:
            with super().collect():
                yield
        except Undetermined:
            self.undetermined = True

    def raise_errors(self) -> None:
        """Raise one CompileError with all errors; without any, Undetermined when a value is not known."""
        super().raise_errors()
        if self.undetermined:
            raise Undetermined


@dataclass(frozen=True)
class UnknownValue:
    """Stands for a value that is not known; reading it raises Undetermined."""


@dataclass(frozen=True, eq=False)
class Definition:
    """A `define`: its steps are bound at each call, in the scope where they are written."""

    name: str
    parameters: tuple[syntax.Word, ...]
    body: tuple[syntax.Statement, ...]
    scope: Scope
    sound: bool
    """whether its body was found right when it was declared"""


Meaning = Given | Definition | Pass | Loader | Measure | Predicate | Target | UnknownValue
"""What a name stands for. A data set is a value: a Reference."""

KINDS = {
    "param": "a parameter",
    "data": "a data set",
    "define": "a define",
    "pass": "a pass",
    "loader": "a loader",
    "measure": "a measure",
    "rule": "a rule",
    "predicate": "a predicate of rules",
    "target": "a target",
    "argument": "a parameter of this define",
}


@dataclass
class Declaration:
    """A name, what kind of thing it stands for, and where it is declared (None: in a Python file)."""

    name: str
    kind: str
    meaning: Meaning
    span: Span | None
    file: str
    """the recipe that declares it, or file and line of the Python function, for messages"""
    used: bool = False

    @property
    def place(self) -> str:
        return self.span.place if self.span else self.file


@dataclass
class Scope:
    """The names a statement can see: those declared above it in its file, those brought in, and vggc's own."""

    registry: Registry
    folder: Path
    """the folder that relative paths start from"""
    outer: Scope | None = None
    names: dict[str, Declaration] = field(default_factory=dict)
    later: dict[str, Span] = field(default_factory=dict)
    """names that statements further down declare"""
    incomplete: bool = False
    """whether a `use` failed, so that names may be missing through no fault of the statement"""
    used: set[Path] = field(default_factory=set)
    """the files that were brought in"""

    def find(self, name: str) -> Declaration | None:
        """The declaration of a name, which counts as used from now on."""
        declaration = self.names.get(name) or (self.outer.find(name) if self.outer else None)
        if declaration:
            declaration.used = True
        return declaration

    def too_early(self, name: str, span: Span) -> CompileError | None:
        """The error for a name that is used at `span` and declared further down, if it is."""
        if name in self.later:
            note = ("note", f"it is declared at {self.later[name].place}")
            return fail(
                f"`{name}` is used before it is declared",
                span,
                facts=(note,),
                help="move its declaration up",
                code=Code.UNKNOWN_NAME,
            )
        return self.outer.too_early(name, span) if self.outer else None

    def visible(self) -> Iterator[Declaration]:
        """Every declaration, the nearest first."""
        yield from self.names.values()
        if self.outer:
            yield from self.outer.visible()

    def named(self, *kinds: str) -> list[str]:
        """The declared names of some kinds."""
        return [each.name for each in self.visible() if each.kind in kinds]

    def add(self, declaration: Declaration, at: Span) -> None:
        """Declare a name. Raises CompileError at `at` when it already has a meaning."""
        name = declaration.name
        self.later.pop(name, None)
        known = next((each for each in self.visible() if each.name == name), None)
        if known and known.meaning is declaration.meaning and not isinstance(known.meaning, UnknownValue):
            return
        if known:
            note = ("note", f"it is already {KINDS[known.kind]}, declared at {known.place}")
            raise CompileError(
                Diagnostic(
                    f"`{name}` is declared twice",
                    at,
                    facts=(note,),
                    help="choose another name",
                    code=Code.DECLARED_TWICE,
                )
            )
        if taken := self._taken(name, declaration.kind):
            where = () if declaration.span else (("defined", declaration.file),)
            help = f"choose another name, such as `my_{name}`"
            raise fail(f"`{name}` is the name of {taken}", at, facts=where, help=help, code=Code.DECLARED_TWICE)
        self.names[name] = declaration

    def _taken(self, name: str, kind: str) -> str:
        """What of vggc's own a declaration of this kind would hide; "" when the name is free."""
        if name in CONDITION_WORDS:
            return CONDITION_WORDS[name]
        if name in self.registry.passes:
            return "a pass"
        if name in self.registry.measures:
            return "a measure"
        if kind == "target" and name in self.registry.targets:
            return "a target"
        if kind == "loader" and name in self.registry.loaders:
            return "a loader"
        return ""

    def value(self, word: syntax.Word) -> Given | None:
        """What a word stands for as a value: a parameter's value or a data set; None when it is neither.

        Raises Undetermined when its value is not known.
        """
        declaration = self.find(word.name)
        if declaration is None or declaration.kind not in ("param", "argument", "data"):
            return None
        if isinstance(declaration.meaning, UnknownValue):
            raise Undetermined
        assert isinstance(declaration.meaning, Given)
        return declaration.meaning

    def value_names(self) -> Iterable[str]:
        return self.named("param", "argument", "data")
