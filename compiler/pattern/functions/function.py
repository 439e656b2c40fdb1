"""Functions of the rule language: Python functions whose annotations say how their arguments are converted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, NewType

from vggc.diagnostics import Declined
from vggc.grammar import pattern_syntax as syntax
from vggc.pattern.values import Absent, Content, Matched, Value, describe, known, whole, whole_numbers

if TYPE_CHECKING:
    from vggc.pattern.evaluate import Evaluator

Integers = NewType("Integers", tuple)  # type: ignore[type-arg]
"""An argument that is a list of whole numbers, or one of them."""

Like = NewType("Like", object)
"""An argument of which only shape and type matter: a value, constant or not, or numbers."""

Anything = NewType("Anything", object)
"""An argument taken as it is."""


@dataclass(frozen=True)
class Function:
    """A function that rules can call. `parameters` are those of Python behind the first, which is the evaluator."""

    name: str
    parameters: tuple[inspect.Parameter, ...]
    function: Callable[..., Content]
    doc: str

    @property
    def required(self) -> list[str]:
        """The parameters that every call must give."""
        plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return [each.name for each in self.parameters if each.kind in plain and each.default is each.empty]

    @property
    def positional(self) -> list[str]:
        return [each.name for each in self.parameters if each.kind is each.POSITIONAL_OR_KEYWORD]

    @property
    def names(self) -> list[str]:
        """The parameters that can be given by name."""
        return [each.name for each in self.parameters if each.kind is not each.VAR_POSITIONAL]

    def parameter(self, call: syntax.CallTerm, argument: syntax.TermArgument) -> inspect.Parameter:
        """The parameter that an argument of a right call is for."""
        if argument.name is not None:
            return next(each for each in self.parameters if each.name == argument.name.name)
        at = next(at for at, each in enumerate(call.arguments) if each is argument)
        return next((each for each in self.parameters if each.kind is each.VAR_POSITIONAL), None) or self.parameters[at]

    @property
    def usage(self) -> str:
        """How it is called: `along(x, axis, like)`, optional arguments by name."""
        shown = []
        for each in self.parameters:
            if each.kind is each.VAR_POSITIONAL:
                shown.append(f"{each.name}, ...")
            elif each.default is each.empty:
                shown.append(each.name)
            else:
                shown.append(f"[{each.name}=...]")
        return f"{self.name}({', '.join(shown)})"

    @property
    def variadic(self) -> bool:
        """Whether it takes any number of arguments without a name."""
        return any(each.kind is each.VAR_POSITIONAL for each in self.parameters)


def function(python: Callable[..., Content]) -> Function:
    """Make a Python function callable in rules; a trailing underscore of its name is left out."""
    parameters = tuple(inspect.signature(python).parameters.values())[1:]
    return Function(python.__name__.rstrip("_"), parameters, python, inspect.getdoc(python) or "")


def found_in(module: ModuleType) -> Iterator[Function]:
    return (each for each in vars(module).values() if isinstance(each, Function))


def call(evaluator: Evaluator, found: Function, given: Sequence[Content], named: Mapping[str, Content]) -> Content:
    """Call a function. Raises Declined when an argument is not known, or of the wrong kind."""
    arguments: list[Any] = []
    keywords: dict[str, Any] = {}
    for index, value in enumerate(given):
        parameter = found.parameters[min(index, len(found.parameters) - 1)]
        for each in found.parameters[: index + 1]:
            if each.kind is each.VAR_POSITIONAL:
                parameter = each
        arguments.append(_converted(evaluator, value, parameter, found.name))
    by_name = {each.name: each for each in found.parameters}
    for name, value in named.items():
        keywords[name] = _converted(evaluator, value, by_name[name], found.name)
    try:
        return found.function(evaluator, *arguments, **keywords)
    except Declined as declined:
        raise Declined(f"{declined}, in `{found.name}`") from None


def _converted(evaluator: Evaluator, value: Content, parameter: inspect.Parameter, function: str) -> Any:
    what = f"`{parameter.name}` of `{function}`"
    wanted = str(parameter.annotation).removesuffix(" | None")
    if wanted == "Anything":
        return value
    value = known(value)
    if isinstance(value, Matched) and wanted != "Matched":
        value = value.value
    match wanted:
        case "Numbers":
            return evaluator.numbers(value)
        case "Integers":
            return whole_numbers(evaluator.numbers(value) if isinstance(value, Value) else value, what)
        case "int":
            return whole(evaluator.numbers(value) if isinstance(value, Value) else value, what)
        case "bool":
            return evaluator.truth(value)
        case "Content":
            return value
        case "Like" if not isinstance(value, str):
            return value if isinstance(value, Value) else evaluator.numbers(value)
        case "str" if isinstance(value, str):
            return value
        case "Value" if isinstance(value, Value):
            return value
        case "Matched" if isinstance(value, Matched):
            return value
    raise Declined(f"{what} cannot be {describe(value)}")


def is_absent(value: object) -> bool:
    return isinstance(value, Absent)
