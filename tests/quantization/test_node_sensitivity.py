"""What quantizing one node alone does, and leaving the worst in float."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from vggc.calibration.samples import Samples
from vggc.data.dataset import Dataset, SampleType
from vggc.graph import Graph
from vggc.passes.quantize import quantize
from vggc.passes.sensitivity import sensitivity
from vggc.quantization.node_sensitivity import agreement, results
from vggc.quantization.precisions import FORMATS
from vggc.rewrite import Context, Destination
from vggc.values import Ratio

TEXT = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,32] x) => (float[N,8] y) <float[32,32] w1, float[32,32] w2, float[32,8] w3, float[8] bias, float[32] k>
{
   a0 = MatMul (x, w1)
   a1 = Relu (a0)
   a = Mul (a1, k)
   b0 = MatMul (a, w2)
   b = Relu (b0)
   c = MatMul (b, w3)
   y = Add (c, bias)
}
"""


class Rows(Dataset):
    """Samples of the input `x`."""

    name = "calib"
    description = "rows"
    labels = None

    def __init__(self, count: int) -> None:
        self._rows = np.random.default_rng(5).standard_normal((count, 32)).astype(np.float32)
        self.arrays = {"x": SampleType(self._rows.dtype, self._rows.shape[1:])}

    def __len__(self) -> int:
        return len(self._rows)

    def parts(self) -> Any:
        yield {"x": self._rows}


@pytest.fixture
def graph() -> Graph:
    """Three products; the second one reads a channel ten thousand times as large as all others, and ignores it."""
    model = onnx.parser.parse_model(TEXT)
    random = np.random.default_rng(6)
    arrays = {
        info.name: random.standard_normal([each.dim_value for each in info.type.tensor_type.shape.dim]) / 6
        for info in model.graph.value_info
        if info.name in ("w1", "w2", "w3", "bias", "k")
    }
    arrays["k"] = np.ones(32)
    arrays["k"][3] = 1e4
    arrays["w2"][3] = 0
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    del model.graph.value_info[:]
    found = Graph.from_model(model)
    found.infer_shapes()
    return found


def test_the_node_that_reads_the_outlier_suffers_most(graph: Graph) -> None:
    before = graph.export(1 << 40).model.SerializeToString()
    found = sensitivity(graph, data=Rows(64)).sensitivity
    assert graph.export(1 << 40).model.SerializeToString() == before
    assert len(found) == 3
    worst, second = sorted(found, key=lambda name: -found[name])[:2]
    assert worst == "MatMul of `b0`"
    assert found[worst] > 100 * found[second]


def test_only_the_worst_is_left_in_float(graph: Graph) -> None:
    data = Rows(256)
    right = results(graph, Samples(graph, data), ["y"])
    whole = graph.copy()
    quantize(whole, "int8", data=data)
    whole.tidy()
    assert agreement(right, results(whole, Samples(whole, data), ["y"])) < 0.9
    log = quantize(graph, "int8", data=data, agreement=Ratio(0.95))
    graph.tidy()
    assert agreement(right, results(graph, Samples(graph, data), ["y"])) >= 0.95
    assert log.changes["quantize weights"] == 2
    assert ("MatMul of `b0`", "it stays in float to reach the agreement") in log.declined


def test_trials_are_for_the_targets_of_the_recipe(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FORMATS, ("int8", "onnxruntime"))
    context = Context(targets=(Destination("tensorrt_rtx", {}),))
    assert quantize(graph, "int8", data=Rows(64), agreement=Ratio(0.01), context=context).changes["quantize weights"]


def test_what_reaches_the_goal_is_quantized_whole(graph: Graph) -> None:
    log = quantize(graph, "int8", data=Rows(64), agreement=Ratio(0.01))
    assert log.changes["quantize weights"] == 3


def test_agreement_counts_samples_that_all_outputs_agree_on() -> None:
    one = [np.array([[1, 2], [2, 1], [0, 1]], np.float32), np.array([[1, 2, 3], [3, 2, 1], [1, 3, 2]], np.float32)]
    other = [np.array([[1, 3], [2, 1], [1, 0]], np.float32), np.array([[1, 2, 3], [1, 3, 2], [1, 3, 2]], np.float32)]
    assert agreement(one, other) == pytest.approx(1 / 3)


def test_agreement_on_an_output_of_many_places_is_the_share_of_them() -> None:
    one = np.zeros((2, 3, 4), np.float32)
    other = one.copy()
    other[1, 2, :3] = 1
    assert agreement([one], [other]) == 5 / 8


def test_agreement_needs_classes(refused: Callable[[str], AbstractContextManager[None]]) -> None:
    norm = "g (float[N,32] x) => (float[N] y) { y = ReduceL2 <axes = [1], keepdims = 0> (x) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {norm}')
    with refused(
        "error: no output of the model chooses among classes, so there is no agreement to reach\n"
        "help: leave out `agreement`, and check the model with a measure: require sqnr(...) >= 30"
    ):
        quantize(Graph.from_model(model), "int8", data=Rows(64), agreement=Ratio(0.99))
