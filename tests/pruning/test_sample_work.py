"""How many samples of a large model are run."""

from __future__ import annotations

import numpy as np
from onnx import parser

from vggc.calibration.samples import Samples
from vggc.calibration.variations import SMALLEST
from vggc.data import ArrayDataset
from vggc.graph import Graph
from vggc.pattern.context import Context
from vggc.pruning.sample_work import affordable, enough_to_order, varied

CHEAP, DEAR = 1e6, 2.5e10


def samples(count: int) -> Samples:
    shape = f"N,3,{SMALLEST},{SMALLEST}"
    text = f'<ir_version: 10, opset_import: ["": 17]> g (float[{shape}] x) => (float[{shape}] y) {{ y = Relu(x) }}'
    images = np.zeros((count, 3, SMALLEST, SMALLEST), np.float32) + np.arange(count).reshape(-1, 1, 1, 1)
    return Samples(Graph.from_model(parser.parse_model(text)), ArrayDataset({"x": images}, None, "numbered images"))


def test_all_samples_of_a_small_model_are_run() -> None:
    given, context = samples(120), Context()
    assert affordable(given, CHEAP, context) is given
    assert context.log.notes == []


def test_of_a_large_model_as_many_as_may_be_run_at_even_distances() -> None:
    context = Context()
    found = affordable(samples(120), DEAR, context)
    firsts = np.concatenate([batch["x"][:, 0, 0, 0] for batch in found])
    assert found.count == len(firsts) == 100
    assert firsts[0] == 0 and firsts[-1] >= 118 and set(np.diff(firsts)) == {1, 2}
    wanted = "100 of the 120 samples of `data` are used: a run over all of them would take 3.0 T MACs"
    assert context.log.notes == [wanted]


def test_some_samples_are_run_whatever_they_cost() -> None:
    assert affordable(samples(120), 1e15, Context()).count == 64


def test_images_are_varied_where_that_is_little_work() -> None:
    given = samples(20)
    assert len(varied(given, CHEAP, 0)) == 2 * len(given)
    assert varied(given, 3e10, 0) is given


def test_an_order_is_found_with_fewer_samples_of_a_dear_model() -> None:
    given = samples(120)
    assert enough_to_order(given, CHEAP) is given
    assert enough_to_order(given, 1.25e10).count == 80
    assert enough_to_order(given, 1e15).count == 64
