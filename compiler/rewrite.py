"""What a pass is: a function over the graph whose signature is its schema in recipes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

from vggc.graph import Graph

Transform = Callable[..., None]


class Declined(Exception):
    """Raised by a pass that leaves the graph as it is; the reason goes into the report."""


@dataclass(frozen=True)
class Pass:
    """A named transformation of the graph.

    `exact` passes keep the function the graph computes, and are checked numerically; the others are `lossy`.
    One that `sets_inputs` changes the shapes of the model's inputs, which a target's options must fit.
    Calling a Pass calls its function: `fold_batch_norm(graph)` works in Python as the step does in a recipe.
    """

    name: str
    function: Transform
    exact: bool
    sets_inputs: bool = False

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.function) or ""

    @property
    def summary(self) -> str:
        """What the function's docstring says before its options."""
        return self.doc.partition("Options:")[0].strip()

    @property
    def details(self) -> str:
        """What the docstring of the pass's own file says: the algebra and the cases."""
        return inspect.getdoc(inspect.getmodule(self.function)) or ""

    def __call__(self, graph: Graph, *arguments: Any, **options: Any) -> None:
        self.function(graph, *arguments, **options)


@overload
def whole_graph(function: Transform, /) -> Pass: ...
@overload
def whole_graph(*, exact: bool = True, sets_inputs: bool = False) -> Callable[[Transform], Pass]: ...
def whole_graph(
    function: Transform | None = None, /, *, exact: bool = True, sets_inputs: bool = False
) -> Pass | Callable[[Transform], Pass]:
    """Make a pass of a function `(graph, option=default, ...) -> None` that looks at the graph as a whole.

    The function's name is the step's name; its annotations type the options; `@whole_graph(exact=False)` says that
    the pass changes results, `@whole_graph(sets_inputs=True)` that it changes the inputs' shapes. It raises Declined to leave the graph alone.
    """
    if function is None:
        return lambda each: Pass(each.__name__, each, exact, sets_inputs)
    return Pass(function.__name__, function, exact, sets_inputs)
