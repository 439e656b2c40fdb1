"""The wrapper through which onnxruntime loads an engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from vggc.diagnostics import Code, CompileError
from vggc.graph import Graph
from vggc.targets.contract import Lowering
from vggc.targets.ep_context import ep_context
from vggc.targets.tensorrt import tensorrt, tensorrt_rtx
from vggc.values import Interval

GraphMaker = Callable[..., Graph]
LoweringMaker = Callable[..., Lowering]


def attributes(model: onnx.ModelProto) -> dict[str, Any]:
    return {each.name: onnx.helper.get_attribute_value(each) for each in model.graph.node[0].attribute}


@pytest.fixture
def built(make_graph: GraphMaker, lower: LoweringMaker, fake_tensorrt: Callable[[str], None]) -> Lowering:
    fake_tensorrt("built")
    lowering = lower(make_graph("g (float[2,3] x) => (float[2,3] y) { [relu1] y = Relu(x) }"))
    tensorrt(lowering, name="net.engine")
    return lowering


def test_the_engine_beside_it(built: Lowering) -> None:
    [artifact] = ep_context(built, engine="net.engine")
    assert (artifact.path, artifact.target) == ("model_ctx.onnx", "ep_context")
    model = onnx.load(built.directory / artifact.path)
    onnx.checker.check_model(model)
    [node] = model.graph.node
    assert (node.op_type, node.domain, list(node.input), list(node.output)) == (
        "EPContext",
        "com.microsoft",
        ["x"],
        ["y"],
    )
    assert attributes(model) == {
        "main_context": 1,
        "embed_mode": 0,
        "ep_cache_context": b"net.engine",
        "ep_sdk_version": b"10.13.3.9",
        "partition_name": b"net",
        "source": b"TensorrtExecutionProvider",
    }


def test_the_engine_inside(built: Lowering) -> None:
    ep_context(built, engine="net.engine", embed=True, name="whole.onnx")
    found = attributes(onnx.load(built.directory / "whole.onnx"))
    assert found["embed_mode"] == 1
    assert found["ep_cache_context"] == (built.directory / "net.engine").read_bytes()


def test_onnxruntime_knows_the_operator_and_wants_the_provider(built: Lowering) -> None:
    ep_context(built, engine="net.engine")
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented, match="EPContext"):
        onnxruntime.InferenceSession(built.directory / "model_ctx.onnx", providers=["CPUExecutionProvider"])


def test_an_engine_that_was_tampered_with(built: Lowering) -> None:
    (built.directory / "net.engine").write_bytes(b"something else")
    with pytest.raises(CompileError, match="is not the one that"):
        ep_context(built, engine="net.engine", embed=True)


def test_no_engine(built: Lowering) -> None:
    with pytest.raises(CompileError, match=r"no target before this one built the engine `model\.engine`") as caught:
        ep_context(built)
    assert caught.value.diagnostics[0].code is Code.NO_ENGINE


@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx has no wheel here")
def test_an_engine_of_rtx(make_graph: GraphMaker, lower: LoweringMaker) -> None:
    weights = np.ones((4, 5), np.float32)
    lowering = lower(make_graph("g (float[N,4] x) => (float[N,5] y) { y = MatMul(x, w) }", w=weights))
    tensorrt_rtx(lowering, batch=Interval((1, 4)), compute=["sm86"])
    ep_context(lowering)
    model = onnx.load(lowering.directory / "model_ctx.onnx")
    assert attributes(model)["source"] == b"NvTensorRTRTXExecutionProvider"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
