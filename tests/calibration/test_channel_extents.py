"""The smallest and largest number of each channel, found inside onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnx_graphsurgeon as gs
import pytest

from vggc.calibration.channel_extents import ChannelExtents, ExtentProbe
from vggc.calibration.samples import Samples
from vggc.data import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.execution.session import Session
from vggc.graph import Graph


def calib(rows: np.ndarray) -> ArrayDataset:
    """Samples of the input `x`."""
    return ArrayDataset({"x": rows.astype(np.float32)}, None, "calib")


def channel_extents(graph: Graph, values: list[gs.Tensor], samples: Samples) -> dict[str, ChannelExtents]:
    """The extents of values on all samples."""
    probe = ExtentProbe(graph, values)
    probe.run(samples)
    return probe.checked(samples)


def graph_of(opset: int) -> Graph:
    text = f"""<ir_version: 8, opset_import: ["": {opset}]>
    g (float[N,3,4,4] x) => (float[N,12] y) {{
       s = Mul (x, x)
       d = Sub (x, s)
       r = Relu (d)
       p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)
       y = Flatten (p)
    }}"""
    graph = Graph.from_model(onnx.parser.parse_model(text))
    graph.infer_shapes()
    return graph


@pytest.mark.parametrize("opset", [17, 18])
def test_those_of_the_values_themselves(opset: int) -> None:
    graph = graph_of(opset)
    data = np.random.default_rng(3).standard_normal((150, 3, 4, 4)).astype(np.float32)
    values = {value.name: value for node in graph.nodes for value in node.outputs} | {"x": graph.inputs[0]}
    names = ["x", "d", "r", "y"]
    found = channel_extents(graph, [values[name] for name in names], Samples(graph, calib(data)))
    arrays = {"x": data, **Session(graph, names[1:]).run({"x": data})}
    for name in names:
        axes = (0, *range(2, arrays[name].ndim))
        assert np.array_equal(found[name].lows, np.minimum(arrays[name].min(axis=axes), 0 if name == "r" else np.inf))
        assert np.array_equal(found[name].highs, arrays[name].max(axis=axes))


def test_nan_is_an_error() -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[N,3] x) => (float[N,3] y) { z = Log (x) y = Relu (z) }'
    graph = Graph.from_model(onnx.parser.parse_model(text))
    graph.infer_shapes()
    samples = Samples(graph, calib(np.full((4, 3), -2.0)))
    with pytest.raises(CompileError, match="has NaN or infinite numbers"):
        channel_extents(graph, [graph.outputs[0]], samples)
