"""Types, scales and zero points of QuantizeLinear and DequantizeLinear that TensorRT does not support."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs
from onnx import TensorProto

from vggc.diagnostics import Code
from vggc.graph import Graph
from vggc.graph.arrays import Array
from vggc.operators.number_types import PER_CHANNEL_OPSET, scale_opset, stored_opset
from vggc.operators.quantizers import is_quantizer
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph
from vggc.targets.verifier.types import type_name, type_of

SYMMETRIC = "quantize symmetrically to int8: zero point 0 and a positive scale"

_WEIGHTS_ONLY = frozenset({TensorProto.INT4})


def symmetric_quantization(subject: LoweredGraph) -> Iterator[Finding]:
    """TensorRT computes uint8 as int8, which saturates, and does not check the numbers of scales."""
    for node in quantizers(subject.graph):
        for problem, advice in _problems(subject.graph, node):
            yield refused_quantizer(subject, node, problem, advice)


def quantized_opsets(subject: LoweredGraph) -> Iterator[Finding]:
    """TensorRT imports quantized types also in opsets that do not have them, but no other runtime does."""
    opset = subject.graph.opset
    for node in quantizers(subject.graph):
        if len(node.inputs) < 2:
            continue
        number, scale = type_of(stored_value(node)), type_of(node.inputs[1])
        features = {
            PER_CHANNEL_OPSET if "axis" in node.attrs else 0: "per-channel scales",
            scale_opset(scale): f"{type_name(scale)} scales",
            stored_opset(number): type_name(number),
        }
        if opset < (oldest := max(features)):
            yield refused_quantizer(
                subject,
                node,
                f"opset {opset} does not support quantization with {features[oldest]}",
                f"export the model with opset {oldest} or newer",
            )


def quantizers(graph: Graph) -> Iterator[gs.Node]:
    """All QuantizeLinear and DequantizeLinear nodes of a graph, those in bodies included."""
    return (node for node in all_nodes(graph) if is_quantizer(node))


def stored_value(node: gs.Node) -> gs.Tensor:
    """The quantized side of a quantizer."""
    return node.outputs[0] if node.op == "QuantizeLinear" else node.inputs[0]


def refused_quantizer(subject: LoweredGraph, node: gs.Node, problem: str, advice: str) -> Finding:
    """A finding about a quantizer that TensorRT refuses or computes wrongly."""
    message = f"{subject.title} does not support {subject.graph.label(node)}: {problem}"
    return Finding(message, problem, node, help=advice, code=Code.UNSUPPORTED_QUANTIZER)


def _problems(graph: Graph, node: gs.Node) -> Iterator[tuple[str, str]]:
    number = type_of(stored_value(node))
    if number == TensorProto.UINT8:
        # Also without a zero point: QuantizeLinear's default type is uint8.
        yield "it is uint8, which becomes int8 and saturates above 127", SYMMETRIC
    elif number == TensorProto.INT32:
        yield "it is int32; leave biases in float", "keep the bias in float32: TensorRT adds it inside the kernel"
    elif number in _WEIGHTS_ONLY and node.op == "QuantizeLinear" and graph.array(node.inputs[0]) is None:
        name = type_name(number)
        yield (
            f"it quantizes activations to {name}, which is for weights only",
            "quantize activations to int8, or leave them in float",
        )
    if len(node.inputs) < 2:
        return
    scale = graph.array(node.inputs[1])
    if scale is None:
        yield "its scale is computed while the model runs", "quantize with fixed scales: `quantize(int8, data=...)`"
    elif wrong := wrong_scale(scale):
        yield wrong, SYMMETRIC
    zero_point = graph.array(node.inputs[2]) if len(node.inputs) > 2 else None
    if zero_point is not None and np.any(np.asarray(zero_point, np.float32) != 0):
        yield "its zero point is not 0", SYMMETRIC


def wrong_scale(scale: Array) -> str:
    """What is wrong with a scale's numbers; empty when they are positive, finite and normal."""
    values = np.asarray(scale, np.float64)
    if not np.all(np.isfinite(values)):
        return "its scale is infinite or not a number"
    if np.any(values <= 0):
        return "its scale is not positive"
    smallest = float(ml_dtypes.finfo(scale.dtype).smallest_normal)  # type: ignore[no-untyped-call]
    if np.any(values < smallest):
        return f"its scale is below the smallest normal {scale.dtype}, {smallest:.3g}"
    return ""
