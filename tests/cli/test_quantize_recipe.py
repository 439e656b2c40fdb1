"""`quantize` in a recipe: where Q and DQ go follows from the targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

RECIPE = """\
data calib = random(count={count}, seed=1)
simplify
fold_batch_norm
quantize(int8, data=calib{options})
{targets}
"""


WIDE = """
<ir_version: 8, opset_import: ["": 17]>
g (float[N,16,8,8] x) => (float[N,16,8,8] y) <float[16,16,3,3] w, float[16,16,3,3] u>
{
   c = Conv <pads = [1,1,1,1]> (x, w)
   r = Relu (c)
   d = Conv <pads = [1,1,1,1]> (r, u)
   y = Relu (d)
}
"""


def wide_model() -> onnx.ModelProto:
    model = onnx.parser.parse_model(WIDE)
    random = np.random.default_rng(0)
    for info in list(model.graph.value_info):
        shape = [each.dim_value for each in info.type.tensor_type.shape.dim]
        array = random.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, info.name))
    del model.graph.value_info[:]
    return model


def compile_(vggc: Any, targets: str, options: str = "", count: int = 64) -> onnx.ModelProto:
    Path("int8.opt").write_text(RECIPE.format(count=count, options=options, targets=targets))
    ran = vggc("int8.opt", "model.onnx", "-o", "out")
    assert ran.status == 0, ran.err
    return onnx.load("out/model.onnx")


def stored_types(model: onnx.ModelProto) -> set[int]:
    zero_points = {node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    return {each.data_type for each in model.graph.initializer if each.name in zero_points}


def test_onnxruntime_is_the_default(vggc: Any) -> None:
    model = compile_(vggc, "target onnx")
    assert stored_types(model) == {onnx.TensorProto.UINT8}


def test_an_engine_decides(vggc: Any) -> None:
    pytest.importorskip("tensorrt_rtx")
    onnx.save(wide_model(), "model.onnx")
    assert stored_types(compile_(vggc, "target onnx")) == {onnx.TensorProto.UINT8}
    model = compile_(vggc, "target onnx\ntarget tensorrt_rtx(compute=[sm86], batch=1..2..4)")
    assert stored_types(model) == {onnx.TensorProto.INT8}


def test_the_recipe_decides_first(vggc: Any) -> None:
    onnx.save(wide_model(), "model.onnx")
    model = compile_(vggc, "target onnx", ", placement=tensorrt")
    assert stored_types(model) == {onnx.TensorProto.INT8}


def test_too_few_samples_are_warned_of(vggc: Any) -> None:
    Path("int8.opt").write_text(RECIPE.format(count=4, options="", targets="target onnx"))
    ran = vggc("int8.opt", "model.onnx", "-o", "out")
    assert ran.status == 0
    assert "data `calib` has 4 samples: ranges found on fewer than 32 are guesses" in " ".join(ran.err.split())


def test_no_samples_are_refused(vggc: Any) -> None:
    Path("int8.opt").write_text(RECIPE.format(count=0, options="", targets="target onnx"))
    ran = vggc("int8.opt", "model.onnx", "-o", "out")
    assert ran.status == 1
    assert "error: " in ran.err
    assert not Path("out").exists()
