"""Mixed precision: quantize all products but those whose error is large for the time that quantizing them saves.

The goal is the agreement of the quantized model with the model in float, on samples that nothing else is found on.
Products are given back to a higher precision in the order of error by time, until the goal is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vggc.calibration.samples import Samples, floating_outputs
from vggc.calibration.streams import SAMPLES
from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.number_text import counted
from vggc.execution.array_distance import same_class
from vggc.graph import Graph
from vggc.graph.arrays import Floats
from vggc.operators.gpu_speed import COMMON, Number, gpu_of
from vggc.quantization.candidates import placement_for
from vggc.quantization.half_precision import halve_products, magnitudes
from vggc.quantization.node_sensitivity import damage, results, whole_plan
from vggc.quantization.precisions import Precision
from vggc.quantization.quantize_graph import Settings, quantize_graph
from vggc.quantization.time_saved import saved_on_cpu, saved_on_gpu
from vggc.rewrite import Context, NodePrecision

_BATCHES = 8
"""Samples are read in at least so many batches, where their size is free: a quarter of the batches is held back."""

_GPU_NUMBERS: dict[Precision, Number] = {"int8": "int8", "fp8": "float8"}


def quantize_until(graph: Graph, context: Context, samples: Samples, settings: Settings, goal: float) -> None:
    """Quantize a graph such that it agrees with itself in float on a share `goal` of samples that are held back.

    For TensorRT, products that are not quantized compute in fp16 where their numbers allow it, and in float elsewhere.
    Raises CompileError when the goal is not reached even with all but one product left, and when no output chooses
    among classes.
    """
    outputs = [name for name in floating_outputs(graph) if _has_classes(graph, name)]
    if not outputs:
        raise fail(
            "no output of the model chooses among classes, so there is no agreement to reach",
            help="leave out `agreement`, and check the model with a measure: require sqnr(...) >= 30",
            code=Code.QUANTIZE,
        )
    trials = _Trials(graph, context, settings, divided(samples), outputs)
    choice = _choose(trials, context, goal)
    halves = trials.finish(graph, context, choice.left)
    context.log.precisions = [
        NodePrecision(
            choice.labels[name],
            settings.precision if name not in choice.left else "fp16" if name in halves else "float",
            choice.errors[name],
            1000 * choice.saved[name],
        )
        for name in choice.order
    ]
    context.note(_summary(trials, choice))


@dataclass(frozen=True)
class _Choice:
    """What stays in a higher precision, and by which numbers.

    whole, reached  the agreement with all products quantized, and with those of `left` in a higher precision
    order           the products that can be quantized, by the value that each computes, those to give back first
    left            how many of them are given back: a part of `order` from its beginning
    errors, saved   of each product; both and `order` are empty when all are quantized
    """

    whole: float
    reached: float
    order: Sequence[str] = ()
    left: Sequence[str] = ()
    errors: Mapping[str, float] = field(default_factory=dict)
    saved: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def _choose(trials: _Trials, context: Context, goal: float) -> _Choice:
    """Give back as few products as the goal needs. Raises CompileError when all but one are too few."""
    whole = trials.quantized(())
    first = trials.agreement(whole)
    if first >= goal:
        return _Choice(first, first)
    count = trials.judge.count
    if 0 < count * (1 - goal) < 1:
        context.warn(
            f"one of the {count} samples held back of data `{trials.judge.name}` is {1 / count:.1%} of them, so an "
            f"agreement of {goal:.2%} needs all of them: use more samples"
        )
    errors = trials.errors()
    saved = trials.saved(whole, errors)
    order = by_error_for_time(errors, saved)

    def agreement_with(left: int) -> float:
        return trials.agreement(trials.quantized(order[:left]))

    left, reached = fewest_left(agreement_with, len(order) - 1, goal)
    if reached < goal:
        raise _not_reached(goal, first, reached, trials.judge)
    labels = {node.outputs[0].name: trials.graph.label(node) for node in trials.graph.nodes if node.outputs}
    return _Choice(first, reached, order, order[:left], errors, saved, labels)


def divided(samples: Samples) -> tuple[Samples, Samples]:
    """Samples to judge by, about a quarter and at most 256, and those to learn from.

    All of them twice when they are too few to be divided.
    """
    return samples.in_batches_of(max(1, samples.count // _BATCHES)).apart()


def by_error_for_time(errors: Mapping[str, float], saved: Mapping[str, float]) -> list[str]:
    """Products in the order in which they are given back: the largest error for each second saved first.

    Those that save no time come before all others, the largest error first.
    """
    return sorted(
        errors, key=lambda name: (saved[name] > 0, -errors[name] / saved[name] if saved[name] > 0 else -errors[name])
    )


def fewest_left(agreement: Callable[[int], float], most: int, goal: float) -> tuple[int, float]:
    """How many products of the order must be given back to reach a goal, and the agreement then.

    None given back does not reach it. The number is doubled until the goal is reached. Then the range is halved, as if
    more given back always agreed more. When `most` do not reach the goal, these and their agreement are returned.
    """
    low, high = 0, min(1, most)
    best = agreement(high)
    while best < goal and high < most:
        low, high = high, min(2 * high, most)
        best = agreement(high)
    while best >= goal and high - low > 1:
        middle = (low + high) // 2
        found = agreement(middle)
        if found >= goal:
            high, best = middle, found
        else:
            low = middle
    return high, best


def agreement(right: list[Floats], wrong: list[Floats]) -> float:
    """The share of samples for which every output, (samples, classes, ...), chooses the same class.

    Of an output of many places it is their share that counts.
    """
    same = [same_class(*pair) for pair in zip(right, wrong, strict=True)]
    return float(np.mean(np.min([each.reshape(len(each), -1).mean(1) for each in same], axis=0)))


def _has_classes(graph: Graph, name: str) -> bool:
    """Whether an output has a row of logits for each sample."""
    shape = next(graph.shape(value) for value in graph.outputs if value.name == name)
    return shape is None or (len(shape) > 1 and shape[1] != 1)


class _Trials:
    """Quantizes copies of a graph in float, with some products left in a higher precision, and judges them."""

    def __init__(
        self,
        graph: Graph,
        context: Context,
        settings: Settings,
        samples: tuple[Samples, Samples],
        outputs: Sequence[str],
    ) -> None:
        """`samples` are those to judge by, and those to learn from."""
        self.judge, self._learn = samples
        self.graph, self._context, self._settings = graph.copy(), context, settings
        self._outputs = list(outputs)
        self._right = results(self.graph, self.judge, self._outputs)
        self.on_gpu = placement_for(context.engines, settings.precision, settings.placement) == "tensorrt"
        self._largest: dict[str, float] | None = None

    def finish(self, graph: Graph, context: Context, left: Collection[str]) -> frozenset[str]:
        """Quantize a graph in place, but for the products of the values `left`. Returns those that compute in fp16."""
        quantize_graph(graph, context, self._learn, self._settings, frozenset(left))
        if not self.on_gpu or not left:
            return frozenset()
        if self._largest is None:
            self._largest = magnitudes(self.graph, self._learn.up_to(SAMPLES))
        return halve_products(graph, context, left, self._largest)

    def quantized(self, left: Collection[str]) -> Graph:
        """A copy of the graph that is quantized but for the products of the values `left`."""
        self._context.progress(f"quantize all but {counted(len(left), 'node')}")
        copy = self.graph.copy()
        self.finish(copy, self._context.aside(), left)
        copy.tidy()
        return copy

    def agreement(self, quantized: Graph) -> float:
        """The share of the samples held back for which a copy chooses the class that the graph in float does."""
        return agreement(self._right, results(quantized, self.judge, self._outputs))

    def errors(self) -> dict[str, float]:
        """The error of the outputs when each product alone is quantized, by the value that it computes."""
        return damage(self.graph, self._context, self._learn, self._settings)

    def saved(self, quantized: Graph, products: Collection[str]) -> dict[str, float]:
        """Seconds that quantizing each product saves for one sample, by the value that it computes."""
        if self.on_gpu:
            plan = whole_plan(self.graph, self._context, self._settings)
            low = _GPU_NUMBERS[self._settings.precision]
            return saved_on_gpu(plan.graph, plan.products, gpu_of(self.capability), "float16", low)
        self._context.progress("measure the time of each node")
        return saved_on_cpu(self.graph, quantized, self.judge.few(1), products)

    @property
    def capability(self) -> int:
        """The oldest compute capability that a target of the recipe names."""
        named = [str(gpu) for each in self._context.engines for gpu in each.options.get("compute") or []]
        return min((int(each.removeprefix("sm")) for each in named), default=COMMON)


def _summary(trials: _Trials, choice: _Choice) -> str:
    samples = f"{counted(trials.judge.count, 'sample')} held back of data `{trials.judge.name}`"
    if not choice.left:
        return f"agreement {choice.reached:.2%} on {samples}, with all nodes quantized"
    how = f"estimated for sm{trials.capability}" if trials.on_gpu else "measured on this CPU"
    total = 1000 * sum(choice.saved.values())
    others = total - 1000 * sum(choice.saved[name] for name in choice.left)
    return (
        f"agreement {choice.reached:.2%} on {samples}, {choice.whole:.2%} with all nodes quantized: {len(choice.left)} "
        f"of {len(choice.order)} nodes stay in a higher precision; quantizing the others saves {others:.3g} ms for one "
        f"sample, and all of them {total:.3g} ms ({how})"
    )


def _not_reached(goal: float, first: float, reached: float, judge: Samples) -> CompileError:
    count = f"{counted(judge.count, 'sample')} held back of data `{judge.name}`"
    return fail(
        f"an agreement of {goal:.2%} is not reached",
        facts=(
            ("reached", f"{reached:.2%} on {count}, with all nodes but one left in a higher precision"),
            ("reached", f"{first:.2%} with all nodes quantized"),
        ),
        help="ask for less, or leave the model in float",
        code=Code.QUANTIZE,
    )
