"""The syntax tree of a rule: its patterns, its terms and its replacements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vggc.diagnostics.source import Span
from vggc.grammar.syntax import Bool, Number, String, Syntax, Word


@dataclass(frozen=True)
class Operator(Syntax):
    """`Conv`, `com.microsoft.Gelu`: `domain` is "" where none is written."""

    domain: str
    name: str


@dataclass(frozen=True)
class OutputOf(Syntax):
    """`split.1`: an output, counted from 0, of the node with that label."""

    label: Word
    index: int


# --- patterns ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Capture(Syntax):
    """`x`, or `b?` where the input or attribute may be absent. The same name twice is the same value."""

    name: str
    optional: bool


@dataclass(frozen=True)
class Wildcard(Syntax):
    """`_`, anything; `_?`, anything or nothing."""

    optional: bool


@dataclass(frozen=True)
class Rest(Syntax):
    """`rest...`, the remaining inputs, none or many. `_...` has no name: ""."""

    name: str


@dataclass(frozen=True)
class ConstantPattern(Syntax):
    """`0.5`: a constant all of whose elements are this number."""

    number: Number


@dataclass(frozen=True)
class Literals(Syntax):
    """`[1, 1]`: the value of an attribute that holds a list."""

    items: tuple[Number | String | Bool, ...]


@dataclass(frozen=True)
class AttributeMatch(Syntax):
    """`training_mode=0`, or `epsilon=eps` with a capture."""

    name: Word
    value: Number | String | Bool | Literals | Capture | Wildcard


@dataclass(frozen=True)
class NodePattern(Syntax):
    """`label: Op|Other(inputs, attribute=...)`, standing for the node's output `output`: `Split(x).1`."""

    label: Word | None
    operators: tuple[Operator, ...]
    inputs: tuple[Input, ...]
    attributes: tuple[AttributeMatch, ...]
    output: int


Input = NodePattern | OutputOf | Capture | Wildcard | Rest | ConstantPattern
Root = NodePattern | OutputOf


# --- terms: compile-time arithmetic ------------------------------------------------------------------------


@dataclass(frozen=True)
class ListTerm(Syntax):
    """`[a, 2]`"""

    items: tuple[Term, ...]


@dataclass(frozen=True)
class TermArgument(Syntax):
    """`term`, or `name=term` with the name as a Word."""

    name: Word | None
    value: Term


@dataclass(frozen=True)
class CallTerm(Syntax):
    """`name(arguments)`. `name_span` covers the name alone."""

    name: str
    name_span: Span
    arguments: tuple[TermArgument, ...]


@dataclass(frozen=True)
class ElementTerm(Syntax):
    """`shape(x)[1]`"""

    value: Term
    index: Term


@dataclass(frozen=True)
class NegativeTerm(Syntax):
    """`-x`; the opposite of a literal number is a Number."""

    value: Term


@dataclass(frozen=True)
class BinaryTerm(Syntax):
    """`left + right`, with + - * /."""

    operator: Literal["+", "-", "*", "/"]
    left: Term
    right: Term


@dataclass(frozen=True)
class DefaultTerm(Syntax):
    """`b ?? 0`: the first of the choices that is present."""

    choices: tuple[Term, ...]


@dataclass(frozen=True)
class ComparisonTerm(Syntax):
    """`left >= right`, with == != < <= > >=."""

    operator: Literal["==", "!=", "<", "<=", ">", ">="]
    left: Term
    right: Term


@dataclass(frozen=True)
class LogicalTerm(Syntax):
    """`not a` (one operand), `a and b and c`, `a or b`."""

    operator: Literal["not", "and", "or"]
    operands: tuple[Term, ...]


Term = (
    Number
    | String
    | Bool
    | Word
    | OutputOf
    | ListTerm
    | CallTerm
    | ElementTerm
    | NegativeTerm
    | BinaryTerm
    | DefaultTerm
    | ComparisonTerm
    | LogicalTerm
)


@dataclass(frozen=True)
class Let(Syntax):
    """`let name = term`"""

    name: Word
    value: Term


# --- replacements ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OmittedInput(Syntax):
    """`_` among the inputs of a new node: an optional input that is left out."""


@dataclass(frozen=True)
class Construct(Syntax):
    """`label: Op(inputs, attribute=term).1 like other`: a new node, standing for one of its outputs."""

    label: Word | None
    operator: Operator
    inputs: tuple[Construct | Rest | OmittedInput | Term, ...]
    attributes: tuple[TermArgument, ...]
    output: int
    like: Word | None


Result = Construct | Term
