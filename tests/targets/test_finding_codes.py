"""The codes of what the verifier finds: one cause each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vggc.diagnostics import Code
from vggc.graph import Graph
from vggc.targets.import_findings import output_mismatches
from vggc.targets.verifier import LoweredGraph, findings

GraphMaker = Callable[..., Graph]


def codes(graph: Graph) -> set[Code]:
    graph.infer_shapes()
    return {each.code for each in findings(LoweredGraph(graph, "tensorrt_rtx", (1, 7), ("sm75",)))}


@pytest.mark.parametrize(
    ("text", "opset", "code"),
    [
        ("g (complex64[3] x) => (complex64[3] y) { y = Identity(x) }", 17, Code.UNSUPPORTED_TYPE),
        ("g (float[3] x) => (float[3] y) { y = Relu(x) }", 6, Code.UNSUPPORTED_OPSET),
        ("g (float[N,4] x) => (float[2,2] y) <int64[2] s = {2, 2}> { y = Reshape(x, s) }", 17, Code.BAKED_SIZE),
        ("g (float[3] x) => (int64[1,n] y) { y = NonZero(x) }", 17, Code.UNSUPPORTED_NODE),
        ("g (float[4,4] x, float[4,4] w) => (float[4,4] y) { y = MatMul(x, w) }", 17, Code.CAPABILITY),
    ],
)
def test_what_is_refused(make_graph: GraphMaker, text: str, opset: int, code: Code) -> None:
    assert code in codes(make_graph(text, opset=opset))


def test_quantizers(make_graph: GraphMaker) -> None:
    scale, zero = np.float32(0.1), np.uint8(3)
    graph = make_graph(
        "g (float[3] x) => (float[3] y) { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }", s=scale, z=zero
    )
    assert codes(graph) == {Code.UNSUPPORTED_QUANTIZER}


def test_outputs_that_the_engine_does_not_have(make_graph: GraphMaker) -> None:
    graph = make_graph("g (float[3] x) => (float[3] y) { y = Relu(x) }")
    found = output_mismatches(graph, [{"name": "other", "type": "FLOAT", "shape": [3]}], "TensorRT")
    assert [each.code for each in found] == [Code.ENGINE_INTERFACE]
