"""How much each product suffers from being quantized."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vggc.calibration.samples import Samples, floating_outputs
from vggc.calibration.streams import SAMPLES
from vggc.diagnostics import Declined
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Floats
from vggc.quantization.candidates import candidates, format_for
from vggc.quantization.insert import insert
from vggc.quantization.plan import Plan
from vggc.quantization.quantize_graph import Settings
from vggc.quantization.value_ranges import by_histograms
from vggc.quantization.weights import encoded
from vggc.rewrite import Context


def whole_plan(graph: Graph, context: Context, settings: Settings) -> Plan:
    """All that can be quantized of a graph, planned on a copy of it. Raises Declined when nothing can."""
    copy = graph.copy()
    form = format_for(context.engines, settings.precision, settings.placement)
    found = candidates(copy, Context(), settings.precision, only=settings.only, except_=settings.except_)
    plan: Plan = form.place(copy, found, form.values, form.weights)
    if not plan.products:
        raise Declined("nothing in the model can be quantized")
    return plan


def damage(graph: Graph, context: Context, samples: Samples, settings: Settings) -> dict[str, float]:
    """The error of the model's outputs when one node alone is quantized, by the value that the node computes.

    It is the mean square relative to the outputs' variance. The graph stays as it is.
    Raises Declined when nothing can be quantized.
    """
    whole, aside = whole_plan(graph, context, settings), Context()
    form = format_for(context.engines, settings.precision, settings.placement)
    base = whole.graph
    ranges = by_histograms(whole, context, samples, "mse").quantizers
    by_value = {site.value.name: ranges[site.family] for site in whole.sites}
    few, outputs = samples.up_to(SAMPLES), floating_outputs(base)
    right = results(base, few, outputs)
    errors = {}
    for index, product in enumerate(whole.products):
        context.progress("quantize each node alone", index, len(whole.products))
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
