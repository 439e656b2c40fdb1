"""What `quantize` says when it would change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vggc.data import ArrayDataset
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.passes.quantize import quantize
from vggc.values import Names


@pytest.fixture
def calib() -> ArrayDataset:
    return ArrayDataset({"x": np.random.default_rng(0).standard_normal((40, 3, 8, 8), np.float32)}, None, "calib")


def test_a_model_without_products(net: Any, refused: Any, calib: ArrayDataset) -> None:
    n = net()
    with refused(
        "error: nothing in this model can be quantized\n"
        " = note: it has no convolution or matrix product that the step may quantize"
    ):
        quantize(n.graph(n.op("Relu", "x")), "int8", data=calib)


@pytest.mark.parametrize("agreement", [None, 0.9])
def test_each_reason_is_given(net: Any, refused: Any, calib: ArrayDataset, agreement: Any) -> None:
    n = net()
    graph: Graph = n.graph(n.conv("x", 3, 8))
    with refused(
        "error: nothing in this model can be quantized\n"
        " = kept: Conv `Conv_4`: a convolution of the model's input as small as this is faster in float"
    ):
        quantize(graph, "int8", data=calib, placement="onnxruntime", agreement=agreement)


def test_more_reasons_than_are_shown(net: Any, calib: ArrayDataset) -> None:
    n = net()
    value = "x"
    for inputs in (3, 4, 4, 4, 4, 4, 4):
        value = n.conv(value, inputs, 4)
    with pytest.raises(CompileError) as caught:
        quantize(n.graph(value), "int8", data=calib, placement="tensorrt")
    facts = caught.value.diagnostics[0].facts
    assert len(facts) == 6
    assert "is too narrow for INT8" in facts[0][1]
    assert facts[-1] == ("kept", "and 2 more")


def test_everything_excepted(net: Any, calib: ArrayDataset) -> None:
    n = net()
    with pytest.raises(CompileError, match="nothing in this model can be quantized"):
        quantize(n.graph(n.conv(n.conv("x", 3, 8), 8, 8)), "int8", data=calib, except_=Names(["*"]))
