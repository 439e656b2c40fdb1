"""What a pass has beside the graph: the log it writes, and the compilation it is a part of."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import onnx_graphsurgeon as gs

from vggc.cache import Store, open_store
from vggc.diagnostics.progress import NO_PROGRESS, Inside
from vggc.graph import Graph


@dataclass
class RuleTally:
    """What a rule did in one step: nodes it was tried at, matches found, applied and declined, and the time it took.

    `proved` of the applications were run beside what they replaced, `unproved` could not be.
    """

    tried: int = 0
    matched: int = 0
    applied: int = 0
    declined: int = 0
    seconds: float = 0.0
    proved: int = 0
    unproved: int = 0


@dataclass(frozen=True)
class NodePrecision:
    """How a node computes after a step that chose precisions, and what the choice was made by.

    error         the error of the outputs when this node alone is quantized, as a share of their variance
    milliseconds  what quantizing it saves of a run with one sample; negative when it costs time
    """

    node: str
    precision: str
    error: float
    milliseconds: float


@dataclass
class ChangeLog:
    """What one step did: how often each rewrite applied, and what it declined to do."""

    changes: Counter[str] = field(default_factory=Counter)
    declined: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: dict[str, RuleTally] = field(default_factory=dict)
    channels: dict[str, list[int]] = field(default_factory=dict)
    """by node, for nodes that have lost output channels: the numbers that those left had before"""
    warnings: list[str] = field(default_factory=list)
    cache_warnings: list[str] = field(default_factory=list)
    """what was wrong with the cache, which is no part of what the step did"""
    notes: list[str] = field(default_factory=list)
    """what the user should know of how results came about, though nothing is wrong"""
    sensitivity: dict[str, float] = field(default_factory=dict)
    """by node: the error of the outputs when it alone is quantized, as a share of their variance"""
    repaired: dict[str, float] = field(default_factory=dict)
    """by node whose weights were solved again: the squared error that is left, as share of the variance"""
    precisions: list[NodePrecision] = field(default_factory=list)
    """of the nodes that a step chose a precision for, those that it left in a higher one first"""

    @property
    def total(self) -> int:
        return sum(self.changes.values())


class Destination(NamedTuple):
    """A target of the recipe, and the options it gives."""

    target: str
    options: Mapping[str, Any]

    @property
    def is_tensorrt(self) -> bool:
        """Whether it is TensorRT or TensorRT RTX."""
        return self.target.startswith("tensorrt")


@dataclass(eq=False)
class Context:
    """What a pass has beside the graph. Each step gets one of its own.

    log       what the step did, for the report; `record`, `decline`, `warn` and `note` write into it
    targets   what the model will be lowered to, for passes that choose by it
    original  reads the model as it was before the first step; None where nobody knows it
    progress  is called with what a pass that takes long is doing, and how many of its parts are done
    prove     whether each application of a rule is checked where it happens, on random inputs
    runnable  whether rules make only operators that the runtimes have kernels for
    student   exports a PyTorch module, `package.module:factory`, as a graph that can stand in the place of another one,
              with weights drawn from a seed; None where nothing can
    cache     opens the store of results that are kept between runs; None when they are not to be kept
    """

    log: ChangeLog = field(default_factory=ChangeLog)
    targets: tuple[Destination, ...] = ()
    original: Callable[[], Graph] | None = None
    progress: Inside = NO_PROGRESS.inside
    prove: bool = False
    runnable: bool = True
    student: Callable[[str, Graph, int], Graph] | None = None
    cache: Callable[[], Store | None] = open_store

    @property
    def engines(self) -> tuple[Destination, ...]:
        """The targets that build with TensorRT or name GPUs; of their options only `compute`.

        A pass that asks for these alone has the same result for all other changes of the targets.
        """
        given = ((each, each.options.get("compute")) for each in self.targets)
        return tuple(
            Destination(each.target, {"compute": compute} if compute else {})
            for each, compute in given
            if compute or each.is_tensorrt
        )

    def aside(self) -> Context:
        """A context for trials, with a log of its own."""
        context = copy.copy(self)
        context.log, context.progress, context.prove = ChangeLog(), NO_PROGRESS.inside, False
        return context

    def record(self, what: str, times: int = 1) -> None:
        """Count a change for the report."""
        self.log.changes[what] += times

    def decline(self, place: gs.Node | str, reason: str) -> None:
        """Report a place that looks right and was left as it is, and why."""
        self.log.declined[place if isinstance(place, str) else Graph.label(place), reason] += 1

    def warn(self, message: str) -> None:
        """Tell the user of something that is probably a mistake."""
        self.log.warnings.append(message)

    def note(self, message: str) -> None:
        """Tell the user how results came about; each message once."""
        if message not in self.log.notes:
            self.log.notes.append(message)
