"""Running a graph piece by piece over samples, of which more come later."""

from __future__ import annotations

import numpy as np
from onnx import parser

from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.calibration.staged_run import StagedRun
from vggc.data import ArrayDataset
from vggc.graph import Graph


def test_batches_that_come_later_get_to_where_the_others_are() -> None:
    text = "g (float[N,3] x) => (float[N,3] y) { a = Neg(x) b = Exp(a) c = Add(b, a) y = Relu(c) }"
    graph = Graph.from_model(parser.parse_model(f'<ir_version: 10, opset_import: ["": 17]> {text}'))
    graph.infer_shapes()
    x = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    samples = Samples(graph, ArrayDataset({"x": x}, None, "calib")).in_batches_of(2)
    values = {value.name: value for node in graph.nodes for value in node.outputs}
    with Spill() as spill:
        walk = StagedRun(graph, samples, spill, "walk:", first=2)
        walk.reach([values["b"]])
        assert walk.count == 2 and len(list(walk.arrays(values["b"]))) == 2
        walk.widen(4)
        walk.widen(3)
        assert walk.count == 4
        np.testing.assert_allclose(np.concatenate(list(walk.arrays(values["b"]))), np.exp(-x[:8]), rtol=1e-6)
        walk.reach([values["c"]])
        walk.widen(100)
        assert walk.count == len(samples) == 5
        np.testing.assert_allclose(np.concatenate(list(walk.arrays(values["c"]))), np.exp(-x) - x, rtol=1e-5)
