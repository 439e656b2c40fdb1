"""Models that say in a few lines what would fill any memory, or run for ever: refused, or let alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from vggc.diagnostics import Code, CompileError
from vggc.execution.session import Session
from vggc.graph import Graph

resource = pytest.importorskip("resource", reason="limits of memory are POSIX's")


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """At most 1 GiB more than this process has now: what takes more fails here, and not the machine."""
    used = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if Path("/proc").exists() else 0
    )
    before = resource.getrlimit(resource.RLIMIT_AS)
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def graph(text: str, **weights: Any) -> Graph:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17, "my": 1]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(each), name) for name, each in weights.items())
    return Graph.from_model(model)


FUNCTION = '<opset_import: ["": 17, "my": 1], domain: "my"> {name} (a) => (b) {{ {body} }}'


def function(name: str, body: str) -> str:
    return FUNCTION.format(name=name, body=body)


def test_functions_that_call_each_other_a_million_million_times() -> None:
    functions = [function(f"f{index}", f"t = my.f{index + 1}(a) b = my.f{index + 1}(t)") for index in range(40)]
    functions.append(function("f40", "b = Relu(a)"))
    with pytest.raises(CompileError, match="the model's functions make more than 2000000 nodes of it") as caught:
        graph("g (float[3] x) => (float[3] y) { y = my.f0(x) } " + " ".join(functions))
    assert caught.value.diagnostics[0].code is Code.MODEL_FUNCTIONS


@pytest.mark.parametrize(
    "functions",
    [
        [function("f0", "b = my.f0(a)")],
        [function("f0", "b = my.f1(a)"), function("f1", "b = my.f0(a)")],
    ],
)
def test_functions_that_call_themselves(functions: list[str]) -> None:
    with pytest.raises(CompileError, match="its function `f0` calls itself"):
        graph("g (float[3] x) => (float[3] y) { y = my.f0(x) } " + " ".join(functions))


def test_calls_that_do_not_fit_their_function() -> None:
    text = "g (float[3] x) => (float[3] y) { y = my.f0(x, x, x) } " + function("f0", "b = Relu(a)")
    with pytest.raises(CompileError, match="its functions do not fit their calls"):
        graph(text)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("c = Range(a, b, d)", {"a": np.float32(0), "b": np.float32(1e12), "d": np.float32(1)}),
        ("c = Tile(k, r)", {"k": np.ones(8, np.float32), "r": np.array([1 << 40])}),
        ("c = Pad(k, p)", {"k": np.ones(8, np.float32), "p": np.array([1 << 38, 0])}),
        ("c = ConstantOfShape(s)", {"s": np.array([1 << 40])}),
        ("c = Expand(k, s)", {"k": np.ones(1, np.float32), "s": np.array([1 << 40])}),
    ],
)
def test_long_rows_are_no_shapes(text: str, weights: dict[str, Any]) -> None:
    found = graph(f"g (float[1] x) => (float[n] y) {{ {text} e = Add(c, x) y = Relu(e) }}", **weights)
    found.infer_shapes(check=True)
    [size] = found.outputs[0].shape
    assert int(size) > 1 << 37


def test_what_stands_behind_a_long_row_is_known_all_the_same() -> None:
    found = graph(
        "g (float[2000000] x, float[2,3] z) => (float[n,m] y, float[a,b] w) "
        "{ r = Relu(x) t = Add(r, r) y = Reshape(t, s) h = Shape(z) c = ConstantOfShape(h) w = Add(c, z) }",
        s=np.array([1000, -1]),
    )
    found.infer_shapes(check=True)
    assert [list(value.shape) for value in found.outputs] == [[1000, 2000], [2, 3]]


def test_a_result_larger_than_the_machine() -> None:
    found = graph(
        "g (float[1] x) => (float[n,m] y) { c = Expand(k, s) y = Add(c, x) }",
        k=np.ones((1, 1), np.float32),
        s=[1 << 30, 1 << 20],
    )
    found.infer_shapes()
    with pytest.raises(
        CompileError, match=r"the model cannot be run here: the result of Expand of `c` takes 4194304 GiB"
    ):
        Session(found)


def test_sizes_that_are_not_known_are_let() -> None:
    found = graph("g (float[N] x) => (float[N] y) { y = Relu(x) }")
    found.infer_shapes()
    assert Session(found).run({"x": np.ones(3, np.float32)})["y"].shape == (3,)


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], []])
def test_numbers_that_are_not_as_many_as_the_shape_says(values: list[float]) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[2] x) => (float[2] y) { y = Add(x, w) }'
    )
    model.graph.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2], float_data=values)
    with pytest.raises(CompileError, match=f"initializer `w` holds {len(values)} numbers but its shape needs 2"):
        Graph.from_model(model)
