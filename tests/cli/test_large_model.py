"""A model beyond protobuf's 2 GiB goes through, its weights beside it and never all in memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

resource = pytest.importorskip("resource", reason="limits of memory are POSIX's")

SIDE = 16_384
"""Two square float32 weights of this side are 1 GiB each, and a little more makes the model too large for one file."""


def write_large(folder: Path) -> Path:
    """Two MatMuls of 1 GiB, a Conv and a batch norm; the data file is sparse, so that writing it costs nothing."""
    random = np.random.default_rng(0)
    small = [numpy_helper.from_array(random.uniform(0.5, 1, 4).astype(np.float32), name) for name in "sbmv"]
    small.append(numpy_helper.from_array(random.standard_normal((4, 4, 1, 1)).astype(np.float32), "w"))
    large = []
    for index in range(2):
        tensor = onnx.TensorProto(name=f"large{index}", data_type=onnx.TensorProto.FLOAT, dims=[SIDE, SIDE])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        size = SIDE * SIDE * 4
        for key, value in (("location", "large.bin"), ("offset", str(index * size)), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        large.append(tensor)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], "norm"),
        helper.make_node("Flatten", ["n"], ["f"], "flatten"),
        helper.make_node("MatMul", ["f", "large0"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "large1"], ["y"], "second"),
    ]
    ins = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4, 64, 64])]
    outs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, SIDE])]
    graph = helper.make_graph(nodes, "large", ins, outs, [*small, *large])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with (folder / "large.bin").open("wb") as data:
        data.truncate(2 * SIDE * SIDE * 4)
        data.seek(SIDE * SIDE * 2)
        data.write(np.float32(0.25).tobytes())
    (folder / "large.onnx").write_bytes(model.SerializeToString())
    return folder / "large.onnx"


def test_a_model_over_2_gib(tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 4 << 30:
        pytest.skip("needs 4 GiB of free disk")
    model = write_large(tmp_path)
    (tmp_path / "recipe.opt").write_text("simplify\nfold_batch_norm\ntarget onnx\n")
    words = [sys.executable, "-m", "vggc", "recipe.opt", model.name, "-o", "out", "--verify", "off"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # The kernel keeps the largest child only, so this bounds the compile where no earlier child was larger.
    assert max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) < max(before + 1, 1 << 20)
    out = onnx.load(tmp_path / "out/model.onnx", load_external_data=False)
    assert [node.op_type for node in out.graph.node] == ["Conv", "Flatten", "MatMul", "MatMul"]
    assert (tmp_path / "out/model.onnx").stat().st_size < 100_000
    places = {tensor.name: {each.key: each.value for each in tensor.external_data} for tensor in out.graph.initializer}
    assert places["large0"]["location"] == "model.onnx.data"
    offset = int(places["large0"]["offset"]) + SIDE * SIDE * 2
    with (tmp_path / "out/model.onnx.data").open("rb") as data:
        data.seek(offset)
        assert np.frombuffer(data.read(4), np.float32)[0] == 0.25
    shutil.rmtree(tmp_path / "out")
