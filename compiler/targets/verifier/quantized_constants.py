"""Constants of quantized types, which TensorRT takes as weights before a DequantizeLinear and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs
from onnx import TensorProto

from vggc.graph.domains import is_standard
from vggc.operators.quantizers import INTEGER_OPERATORS, is_quantizer
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph, cannot_build
from vggc.targets.verifier.types import type_name, type_of

_QUANTIZED = frozenset({TensorProto.INT8, TensorProto.INT4, TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT4E2M1})


def quantized_constants(subject: LoweredGraph) -> Iterator[Finding]:
    """The importer accepts them anywhere; the builder refuses them, and names the constant but not its reader."""
    for node in all_nodes(subject.graph):
        if not is_standard(node) or is_quantizer(node) or node.op in INTEGER_OPERATORS:
            continue
        for value in node.inputs:
            if isinstance(value, gs.Constant) and (number := type_of(value)) in _QUANTIZED:
                reason = f"it reads the {type_name(number)} constant `{value.name}`, which only DequantizeLinear may"
                advice = "use `simplify`, which computes constants ahead of time, or store it as int32 or float32"
                yield cannot_build(subject, node, reason, advice)
