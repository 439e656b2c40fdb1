"""Attention that the importer accepts, and for which TensorRT RTX has no kernel."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_graphsurgeon as gs
from onnx import TensorProto

from vggc.graph.domains import is_standard
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph, cannot_build
from vggc.targets.verifier.types import type_of

_INSTEAD = "as MatMul, Softmax and MatMul"
_NONE_TO, _NONE_FROM = 8, 264
"""There are no kernels for heads of up to 8 numbers, and of 264 or more (measured with TensorRT RTX 1.7)."""


def attention_kernels(subject: LoweredGraph) -> Iterator[Finding]:
    """TensorRT RTX computes Attention only with kernels for 16-bit floats and heads of usual sizes."""
    if subject.flavour != "tensorrt_rtx":
        return
    for node in all_nodes(subject.graph):
        if node.op != "Attention" or not is_standard(node):
            continue
        if type_of(node.inputs[0]) == TensorProto.FLOAT:
            advice = f"compile it to float16, or write it {_INSTEAD}"
            yield cannot_build(subject, node, "there is no kernel for float32", advice)
        elif (size := _head_size(node)) is not None and not _NONE_TO < size < _NONE_FROM:
            yield cannot_build(subject, node, f"there is no kernel for heads of {size} numbers", f"write it {_INSTEAD}")


def _head_size(node: gs.Node) -> int | None:
    """Numbers in a head: Q is (batch, heads, length, head size), or (batch, length, heads * head size)."""
    shape = node.inputs[0].shape
    if not shape or not isinstance(shape[-1], int):
        return None
    heads = node.attrs.get("q_num_heads", 0) if len(shape) == 3 else 1
    return shape[-1] // heads if heads else None
