"""How much each product suffers from being quantized, and how few must stay in float for a goal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vggc.calibration.samples import Samples, floating_outputs
from vggc.calibration.streams import SAMPLES
from vggc.diagnostics import Declined, fail
from vggc.execution.array_distance import same_class
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Floats
from vggc.quantization.candidates import candidates, format_for
from vggc.quantization.insert import insert
from vggc.quantization.plan import Plan
from vggc.quantization.quantize_graph import Settings, quantize_graph
from vggc.quantization.value_ranges import by_histograms
from vggc.quantization.weights import encoded
from vggc.rewrite import Context


def damage(graph: Graph, context: Context, samples: Samples, settings: Settings) -> dict[str, float]:
    """The error of the model's outputs when one node alone is quantized, by the value that the node computes.

    It is the mean square relative to the outputs' variance. The graph stays as it is.
    Raises Declined when nothing can be quantized.
    """
    base, aside = graph.copy(), Context()
    form = format_for(context.targets, settings.precision, settings.placement)
    found = candidates(base, aside, settings.precision, only=settings.only, except_=settings.except_)
    whole: Plan = form.place(base, found, form.values, form.weights)
    if not whole.products:
        raise Declined("nothing in the model can be quantized")
    ranges = by_histograms(whole, context, samples, "mse").quantizers
    by_value = {site.value.name: ranges[site.family] for site in whole.sites}
    few, outputs = samples.up_to(SAMPLES), floating_outputs(base)
    right = results(base, few, outputs)
    errors = {}
    for index, product in enumerate(whole.products):
        context.progress(f"node {index + 1} of {len(whole.products)}")
        name = product.node.outputs[0].name
        copy = base.copy()
        node = next(each for each in copy.nodes if each.outputs[0].name == name)
        plan: Plan = form.place(copy, [replace(product, node=node)], form.values, form.weights)
        known = {site.family: by_value[site.value.name] for site in plan.sites if site.value.name in by_value}
        missing = [site for site in plan.sites if site.family not in known]
        if missing:
            known |= by_histograms(plan, context, samples, "mse").quantizers
        insert(plan, aside, known, encoded(plan, aside, known, settings.weights))
        copy.tidy()
        wrong = results(copy, few, outputs)
        errors[name] = _relative(right, wrong)
    return errors


def results(graph: Graph, samples: Samples, outputs: list[str]) -> list[Floats]:
    """The outputs of a graph on all samples, one array (samples, ...) each."""
    session = Session(graph, outputs)
    found: list[list[Floats]] = [[] for _ in outputs]
    for batch in samples:
        given = {each.name: batch[each.name] for each in session.inputs}
        for into, array in zip(found, session.run(given).values(), strict=True):
            into.append(np.asarray(array, np.float32))
    return [np.concatenate(each) for each in found]


def _relative(right: list[Floats], wrong: list[Floats]) -> float:
    shares = [
        float(np.square(one - other).mean() / max(float(one.var()), 1e-30))
        for one, other in zip(right, wrong, strict=True)
    ]
    return sum(shares) / len(shares)


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


def quantize_until(graph: Graph, context: Context, samples: Samples, settings: Settings, goal: float) -> float:
    """Quantize a graph with as few nodes left in float as `agreement` on the samples needs to reach a goal.

    Nodes are left in the order of their damage. Returns the agreement reached. Raises CompileError when it is not
    reached even with all but one left in float, and when no output chooses among classes.
    """
    outputs = [name for name in floating_outputs(graph) if _has_classes(graph, name)]
    if not outputs:
        raise fail(
            "no output of the model chooses among classes, so there is no agreement to reach",
            help="leave out `agreement`, and check the model with a measure: require sqnr(...) >= 30",
        )
    right = results(graph, samples, outputs)

    def reached(leave: frozenset[str]) -> float:
        copy = graph.copy()
        quantize_graph(copy, Context(targets=context.targets), samples, settings, leave)
        copy.tidy()
        return agreement(right, results(copy, samples, outputs))

    best = reached(frozenset())
    leave: frozenset[str] = frozenset()
    if best < goal:
        errors = damage(graph, context, samples, replace(settings, equalize=False, bias_correction=False))
        order = sorted(errors, key=lambda name: -errors[name])
        low, high = 0, len(order) - 1
        best = reached(frozenset(order[:high]))
        if best < goal:
            raise fail(
                f"agreement of {goal:.2%} is not reached: with one node quantized it is {best:.2%}",
                help="ask for less, or leave the model in float",
            )
        while high - low > 1:
            middle = (low + high) // 2
            found = reached(frozenset(order[:middle]))
            if found >= goal:
                high, best = middle, found
            else:
                low = middle
        leave = frozenset(order[:high])
    quantize_graph(graph, context, samples, settings, leave)
    return best
