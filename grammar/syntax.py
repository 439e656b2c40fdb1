"""The syntax tree of a recipe: what was written, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vggc.diagnostics.source import Source, Span

if TYPE_CHECKING:
    from vggc.grammar.pattern_syntax import Let, Result, Root, Term

Otherwise = Literal["fail", "rollback", "warn"]
Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Syntax:
    """Every part of the tree knows the characters it was read from."""

    span: Span


# --- values ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number(Syntax):
    """`12`, `-0.5`, `1e-3`, `50%`, `4GiB`, `2.5ms`: the number as written and its unit ("" when it has none)."""

    value: int | float
    unit: str


@dataclass(frozen=True)
class String(Syntax):
    """A quoted text, escapes resolved."""

    value: str


@dataclass(frozen=True)
class Bool(Syntax):
    value: bool


@dataclass(frozen=True)
class Word(Syntax):
    """A bare word: a parameter, a data set or one of an option's allowed words; binding decides which."""

    name: str


@dataclass(frozen=True)
class IntervalLiteral(Syntax):
    """`1..32` (low, high) or `1..8..32` (min, opt, max)."""

    points: tuple[Value, ...]


@dataclass(frozen=True)
class Sequence(Syntax):
    """`[a, b, c]`"""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class Mapping(Syntax):
    """`{name: value, "quoted": value}`"""

    entries: tuple[tuple[String | Word, Value], ...]


@dataclass(frozen=True)
class Argument(Syntax):
    """`value`, or `name=value` with the name as a Word."""

    name: Word | None
    value: Value


@dataclass(frozen=True)
class Call(Syntax):
    """`name` or `name(arguments)`. `name_span` covers the name alone."""

    name: str
    name_span: Span
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Binary(Syntax):
    """`left + right`, with + - * / or `of` (`30% of original`)."""

    operator: Literal["+", "-", "*", "/", "of"]
    left: Value
    right: Value


@dataclass(frozen=True)
class Comparison(Syntax):
    """`left >= right`, with == != < <= > >=."""

    operator: Literal["==", "!=", "<", "<=", ">", ">="]
    left: Value
    right: Value


@dataclass(frozen=True)
class Logical(Syntax):
    """`not a` (one operand), `a and b and c`, `a or b`."""

    operator: Literal["not", "and", "or"]
    operands: tuple[Value, ...]


Value = Number | String | Bool | Word | IntervalLiteral | Sequence | Mapping | Call | Binary | Comparison | Logical


# --- statements --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParamStatement(Syntax):
    """`param name: type = value in low..high`, or `in [a, b, c]`"""

    name: Word
    type: Word | None
    value: Value
    bounds: IntervalLiteral | Sequence | None


@dataclass(frozen=True)
class DataStatement(Syntax):
    """`data name = loader(...)`"""

    name: Word
    loader: Call


@dataclass(frozen=True)
class UseStatement(Syntax):
    """`use "file"`"""

    path: String


@dataclass(frozen=True)
class StepStatement(Syntax):
    """`pass` or `pass(option=value)`; also the call of a rule or of a `define`."""

    call: Call


@dataclass(frozen=True)
class RuleStatement(Syntax):
    """`rule name tolerance=1e-5 { roots where guard let a = term => results }`; see `vggc.grammar.pattern_syntax`."""

    name: Word
    tolerance: Number | None
    roots: tuple[Root, ...]
    guard: Term | None
    lets: tuple[Let, ...]
    results: tuple[Result, ...]


@dataclass(frozen=True)
class DefineStatement(Syntax):
    """`define name(parameters) { steps }`"""

    name: Word
    parameters: tuple[Word, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class RepeatStatement(Syntax):
    """`repeat { steps }`"""

    body: tuple[Statement, ...]


@dataclass(frozen=True)
class WhenStatement(Syntax):
    """`when condition { steps } else { steps }`; `otherwise` is empty when there is no else."""

    condition: Value
    body: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True)
class RequireStatement(Syntax):
    """`require measure >= value else rollback`"""

    condition: Comparison
    otherwise: Otherwise


@dataclass(frozen=True)
class ObjectiveStatement(Syntax):
    """`minimize measure` or `maximize measure`"""

    direction: Direction
    measure: Value


@dataclass(frozen=True)
class TargetStatement(Syntax):
    """`target name(...)`"""

    call: Call


Statement = (
    ParamStatement
    | DataStatement
    | UseStatement
    | StepStatement
    | RuleStatement
    | DefineStatement
    | RepeatStatement
    | WhenStatement
    | RequireStatement
    | ObjectiveStatement
    | TargetStatement
)


@dataclass(frozen=True)
class Recipe:
    """A whole recipe file."""

    source: Source
    statements: tuple[Statement, ...]
