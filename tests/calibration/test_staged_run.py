"""Running a graph piece by piece over samples, of which more come later."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import parser

from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.calibration.staged_run import StagedRun
from vggc.data import ArrayDataset
from vggc.execution.threads import background, limited_threads
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


def test_values_begun_are_computed_in_another_thread_and_go_when_others_are_begun() -> None:
    text = "g (float[N,3] x) => (float[N,3] y) { a = Neg(x) b = Exp(a) c = Relu(b) y = Relu(c) }"
    graph = Graph.from_model(parser.parse_model(f'<ir_version: 10, opset_import: ["": 17]> {text}'))
    graph.infer_shapes()
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    samples = Samples(graph, ArrayDataset({"x": x}, None, "calib"))
    values = {value.name: value for node in graph.nodes for value in node.outputs}
    with Spill() as spill, limited_threads(2), background("test") as beside:
        walk = StagedRun(graph, samples, spill, "walk:", beside=beside)
        walk.begin([values["b"]])
        walk.reach([values["b"]])
        np.testing.assert_allclose(walk.array(values["b"], 0), np.exp(-x), rtol=1e-6)
        walk.begin([values["y"]])
        walk.release([values["b"]])
        walk.begin([])
        assert "walk:b" not in spill and "walk:y" not in spill
        np.testing.assert_array_equal(walk.array(graph.inputs[0], 0), x)


def test_what_fails_while_it_is_begun_fails_at_the_next_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph.from_model(
        parser.parse_model('<ir_version: 10, opset_import: ["": 17]> g (float[N] x) => (float[N] y) { y = Neg(x) }')
    )
    samples = Samples(graph, ArrayDataset({"x": np.ones(2, np.float32)}, None, "calib"))
    with Spill() as spill, limited_threads(2), background("test") as beside:
        walk = StagedRun(graph, samples, spill, "walk:", beside=beside)

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(walk, "reach", fail)
        walk.begin([graph.outputs[0]])
        with pytest.raises(ZeroDivisionError):
            walk.begin([])
