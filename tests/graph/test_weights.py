"""Weights come out of a model file, and go back into one, as the bytes they are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vggc.diagnostics import CompileError
from vggc.graph import Graph, StoredWeights
from vggc.graph.wire import KEEP_BELOW


def load(model: onnx.ModelProto, folder: Path) -> Graph:
    onnx.save(model, folder / "in.onnx")
    return Graph.load(folder / "in.onnx")


def written(graph: Graph, folder: Path) -> onnx.ModelProto:
    graph.save(folder / "out.onnx")
    return onnx.load(folder / "out.onnx")


def numbers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def mul_model(weight: onnx.TensorProto) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, weight.data_type, ["N", *weight.dims]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"], "mul")], "g", infos[:1], infos[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


TYPES = [
    (each, helper.tensor_dtype_to_np_dtype(each))
    for each in TensorProto.DataType.values()
    if each not in (TensorProto.UNDEFINED, TensorProto.STRING)
    and TensorProto.DataType.Name(each) not in ("COMPLEX64", "COMPLEX128", "UINT2", "INT2")
]


@pytest.mark.parametrize(("kind", "dtype"), TYPES, ids=lambda each: getattr(each, "name", ""))
@pytest.mark.parametrize("size", [7, 3 * KEEP_BELOW])
@pytest.mark.parametrize("touched", [False, True])
def test_weights_of_every_type(kind: int, dtype: Any, size: int, touched: bool, tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 2, size).astype(dtype)
    model = mul_model(numpy_helper.from_array(raw, "w"))
    assert model.graph.initializer[0].data_type == kind
    graph = load(model, tmp_path)
    (weight,) = graph.constants()
    if touched:
        array = graph.array(weight)
        assert array is not None
        assert array.dtype == dtype
        assert not array.flags.writeable
        graph.set_input(graph.nodes[0], 1, graph.constant(np.array(array), "w"))
        graph.tidy()
    after = written(graph, tmp_path)
    (tensor,) = after.graph.initializer
    assert tensor.data_type == kind
    assert numpy_helper.to_array(tensor).tobytes() == raw.tobytes()
    if not touched:
        assert tensor.SerializeToString() == model.graph.initializer[0].SerializeToString()


def test_numbers_in_fields_of_their_own(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT16, [3], np.array([1, 2.5, -3], np.float16))
    bfloats = helper.make_tensor("w", TensorProto.BFLOAT16, [2], np.array([1, 2], ml_dtypes.bfloat16))
    for each in (weight, bfloats, helper.make_tensor("w", TensorProto.FLOAT, [2], [0.5, 2.0])):
        model = mul_model(each)
        assert (
            written(load(model, tmp_path), tmp_path).graph.initializer[0].SerializeToString()
            == each.SerializeToString()
        )


def test_a_large_weight_in_a_field_of_its_own(tmp_path: Path) -> None:
    values = np.arange(5000, dtype=np.float32)
    model = mul_model(helper.make_tensor("w", TensorProto.FLOAT, [5000], values.tolist()))
    np.testing.assert_array_equal(numbers(written(load(model, tmp_path), tmp_path))["w"], values)


def test_strings(tmp_path: Path) -> None:
    text = helper.make_tensor("w", TensorProto.STRING, [2], [b"a", "é".encode()])
    node = helper.make_node("Equal", ["x", "w"], ["y"])
    infos = [helper.make_tensor_value_info("x", 8, [2]), helper.make_tensor_value_info("y", 9, [2])]
    graph = helper.make_graph([node], "g", infos[:1], infos[1:], [text])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    assert list(written(load(model, tmp_path), tmp_path).graph.initializer[0].string_data) == [b"a", "é".encode()]


def test_a_sparse_initializer(tmp_path: Path) -> None:
    model = mul_model(helper.make_tensor("w", TensorProto.FLOAT, [6], [0.0] * 6))
    del model.graph.initializer[:]
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [3.0, 4.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("", TensorProto.INT64, [2], [1, 5]), [6])
    model.graph.sparse_initializer.append(sparse)
    graph = load(model, tmp_path)
    assert graph.array(graph.constants()[0]) is None
    assert list(written(graph, tmp_path).graph.sparse_initializer) == [sparse]
    assert list(written(graph.copy(), tmp_path).graph.sparse_initializer) == [sparse]


def test_external_data(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    model = mul_model(numpy_helper.from_array(values, "w"))
    onnx.save(model, tmp_path / "in.onnx", save_as_external_data=True, location="in.bin", size_threshold=0)
    graph = Graph.load(tmp_path / "in.onnx")
    held = graph.constants()[0]._values
    assert isinstance(held, StoredWeights)
    assert held.extent is not None
    assert held.extent.path == (tmp_path / "in.bin").resolve()
    np.testing.assert_array_equal(numbers(written(graph, tmp_path))["w"], values)
    files = graph.save(tmp_path / "two.onnx", external=True)
    assert [each.path.name for each in files] == ["two.onnx", "two.onnx.data"]
    assert (tmp_path / "two.onnx").stat().st_size < 1000
    np.testing.assert_array_equal(numbers(onnx.load(tmp_path / "two.onnx"))["w"], values)


def test_external_data_that_is_replaced(tmp_path: Path) -> None:
    names = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 0}
    for factor in (1, 2):
        model = mul_model(numpy_helper.from_array(np.full(4096, factor, np.float32), "w"))
        (tmp_path / "w.bin").unlink(missing_ok=True)
        onnx.save(model, tmp_path / "in.onnx", **names)
        [weight] = Graph.load(tmp_path / "in.onnx").constants()
        assert weight.values[0] == factor


def test_a_weights_file_that_shrinks_before_it_is_read(tmp_path: Path) -> None:
    model = mul_model(numpy_helper.from_array(np.ones(4096, np.float32), "w"))
    onnx.save(model, tmp_path / "in.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    [weight] = Graph.load(tmp_path / "in.onnx").constants()
    (tmp_path / "w.bin").write_bytes(b"1234")
    with pytest.raises(CompileError, match="were cut short"):
        _ = weight.values


def test_a_file_is_hashed_as_it_is_written(tmp_path: Path) -> None:
    graph = Graph.from_model(mul_model(numpy_helper.from_array(np.ones(5000, np.float32), "w")))
    for each in graph.save(tmp_path / "out.onnx", external=True):
        content = each.path.read_bytes()
        assert (each.bytes, each.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_no_weight_is_read_to_copy_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mul_model(numpy_helper.from_array(np.ones(50_000, np.float32), "w"))
    onnx.save(model, tmp_path / "in.onnx")

    def read(self: StoredWeights) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(StoredWeights, "load", read)
    graph = Graph.load(tmp_path / "in.onnx")
    graph.infer_shapes(check=True)
    after = written(graph.copy(), tmp_path)
    assert list(after.graph.initializer) == list(model.graph.initializer)


@pytest.mark.parametrize("large", [False, True])
def test_weights_whose_bytes_do_not_fit(large: bool, tmp_path: Path) -> None:
    model = mul_model(numpy_helper.from_array(np.ones(5000 if large else 5, np.float32), "w"))
    model.graph.initializer[0].dims[0] += 1
    onnx.save(model, tmp_path / "in.onnx")
    with pytest.raises(CompileError, match=r"initializer `w` holds \d+ bytes but its shape needs \d+"):
        Graph.load(tmp_path / "in.onnx")


def test_a_model_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """Each shorter file is refused with a message, or is by chance a smaller model: never a traceback."""
    model = mul_model(numpy_helper.from_array(np.ones(1200, np.float32), "w"))
    content = model.SerializeToString()
    path = tmp_path / "in.onnx"
    for length in [*range(0, 200), *range(200, len(content), 37), *range(len(content) - 60, len(content))]:
        path.write_bytes(content[:length])
        try:
            graph = Graph.load(path)
            graph.infer_shapes(check=True)
        except CompileError as error:
            assert error.diagnostics[0].message
        else:
            assert length > len(content) - 60, "only the list of operator sets may be missing unnoticed"
