"""What the values of a plan are like: extents on all samples, windows and rows on a few, each sample run once."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper, parser

from vggc.calibration.channel_extents import ExtentProbe
from vggc.calibration.samples import Samples
from vggc.calibration.spill import Spill
from vggc.data import ArrayDataset
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.quantization.candidates import choose
from vggc.quantization.observation import Observation
from vggc.quantization.sampled import FEWEST, to_try
from vggc.rewrite import Context
from vggc.values import Names

COUNT = 300


@pytest.fixture
def graph() -> Graph:
    text = """<ir_version: 8, opset_import: ["": 17]>
    g (float[N,3,8,8] x) => (float[N,32,8,8] y)
    { c = Conv <pads = [1,1,1,1]> (x, w) a = Relu (c) b = Conv (a, u) y = Relu (b) }"""
    model = parser.parse_model(text)
    random = np.random.default_rng(0)
    for name, shape in (("w", (24, 3, 3, 3)), ("u", (32, 24, 1, 1))):
        weights = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weights, name))
    found = Graph.from_model(model)
    found.infer_shapes()
    return found


@pytest.mark.parametrize("peak", [150, 151, 152, 153, 154, 155, 156])
@pytest.mark.parametrize("first", ["extents", "sampled"])
def test_extents_are_those_of_all_samples(graph: Graph, peak: int, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever has the largest numbers: of seven neighbours at least one is not among the few."""
    x = np.random.default_rng(1).standard_normal((COUNT, 3, 8, 8)).astype(np.float32)
    x[peak] *= 50
    samples = Samples(graph, ArrayDataset({"x": x}, None, "calib"))
    few, others = to_try(samples)
    assert others is not None and few.count + others.count == COUNT and FEWEST <= few.count < COUNT
    plan = choose(graph, Context(), "int8", "onnxruntime", only=Names(), except_=Names())
    taken: list[int] = []
    take = ExtentProbe.take
    monkeypatch.setattr(ExtentProbe, "take", lambda *given: (taken.append(len(given[1]["x"])), take(*given)))
    with Spill() as spill:
        seen = Observation(plan, samples, few, others, spill)
        getattr(seen, first)
        extents = seen.extents["a"]
        assert sum(taken) == COUNT
    a = Session(graph, ["a"]).run({"x": x})["a"]
    np.testing.assert_allclose(extents.highs, a.max(axis=(0, 2, 3)), rtol=1e-5)
