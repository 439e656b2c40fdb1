"""Compute in 16-bit floating point where that is safe. The types are written into the graph.

    Relu(Conv(x, w))    float32
    => Cast(Relu(Conv(Cast(x), w)))    float16 between the casts

TensorRT takes precision from the graph alone, so this pass makes fp16 and bf16 engines possible. A node stays in
float32 when its operator does not support the type, when it is named in `keep`, or when its numbers on the samples, or
its weights, come near the end of the type's range (fp16 ends at 65504; bf16 has float32's range and fewer digits). So
do the nodes that read a constant which is zero in the type, such as an epsilon of 1e-12, and those that divide by their
results. The model's inputs and outputs keep their types by default. After `quantize`, the scales become 16-bit too;
those of channels far smaller than others of their node are raised to what the type can store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vggc.analysis.node_selection import check_names, named, names_of
from vggc.calibration.samples import Samples
from vggc.calibration.streams import SAMPLES
from vggc.data import Dataset
from vggc.diagnostics import Code, Diagnostic
from vggc.graph import Graph
from vggc.operators.number_types import HALF_SCALE_OPSET
from vggc.operators.quantizers import QUANTIZERS, is_quantizer
from vggc.quantization.candidates import is_for_cpu, placement_for
from vggc.quantization.half_precision import OPSETS, TYPES, Halves, magnitudes, raise_scales, stays, vanishing
from vggc.quantization.precisions import WEIGHTS_ONLY
from vggc.quantization.preconditions import need_opset
from vggc.rewrite import Beforehand, Context, Declined, whole_graph
from vggc.values import Names

_LOST = 0.01
"""The share of weights that may become zero without a warning."""


def _check(options: Mapping[str, Any], beforehand: Beforehand) -> list[Diagnostic]:
    found = beforehand.dead_names(options, "keep")
    if _slows_integers_down(beforehand):
        message = f"a cast to {options['precision']} after `quantize` makes the model many times slower on the CPU"
        found.append(Diagnostic(message, facts=_SLOW, help="remove the cast", severity="warning", code=Code.SLOW))
    return found


_SLOW = (
    (
        "note",
        "onnxruntime's CPU provider has integer kernels for float32 models only: int8 EfficientNet-Lite0 took 14 ms, "
        "and 250 ms after the cast",
    ),
)


def _slows_integers_down(beforehand: Beforehand) -> bool:
    """Whether the model is quantized for onnxruntime's CPU provider."""
    last = next((each for each in reversed(beforehand.earlier) if each.name in ("quantize", "strip_qdq")), None)
    if last is None or last.name == "strip_qdq" or last.options["precision"] in WEIGHTS_ONLY:
        return False
    placement = placement_for(beforehand.targets, last.options["precision"], last.options["placement"])
    return is_for_cpu(beforehand.targets, placement)


@whole_graph(exact=False, check=_check)
def cast(
    graph: Graph,
    context: Context,
    precision: Literal["fp16", "bf16"],
    *,
    data: Dataset | None = None,
    keep: Names = Names(),  # noqa: B008
    interface: bool = False,
) -> None:
    """Cast a float32 model to 16-bit floating point.

    Options:
        precision: `fp16` or `bf16`
        data: samples that show which numbers come near the end of the range; without them, only weights are checked
        keep: nodes that stay in float32: names or globs of nodes, values, weights or modules, or operators
        interface: cast the model's inputs and outputs too
    """
    quantized = any(node.op in QUANTIZERS for node in graph.nodes)
    need_opset(graph, context, max(OPSETS[precision], HALF_SCALE_OPSET if quantized else 0), f"casting to {precision}")
    graph.infer_shapes()
    names = {id(node): {node.op, *names_of(node)} for node in graph.nodes}
    check_names("keep", keep, names.values(), "node")
    largest = {} if data is None else magnitudes(graph, Samples(graph, data).up_to(SAMPLES))
    needed = vanishing(graph, TYPES[precision])
    chosen = []
    for node in graph.nodes:
        if named(names[id(node)], keep):
            reason: str | None = "it is named in `keep`"
        else:
            if is_quantizer(node, "DequantizeLinear") and raise_scales(graph, node, TYPES[precision]):
                context.record("raise scales")
            reason = stays(graph, node, TYPES[precision], largest)
            if reason is None and node.op not in QUANTIZERS:
                reason = needed.get(id(node))
        if reason is None:
            chosen.append(node)
        elif reason:
            context.decline(node, reason)
    if not chosen:
        raise Declined(f"no node can compute in {precision}")
    halves = Halves(graph, TYPES[precision], chosen, interface=interface)
    halves.rewrite()
    if halves.lost > _LOST * halves.weights:
        context.warn(f"{halves.lost} of {halves.weights} weights are too small for {precision} and become zero")
    context.record("cast node", len(chosen))
