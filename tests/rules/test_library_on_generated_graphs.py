"""Generated graphs: every rule of the library keeps the outputs, and changes nothing when it runs again.

Each rule by itself on variations of its own cases (other weights, values that are read elsewhere too, constants that
are none), and all of them together on graphs made of what they are about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from vggc.binding.modules import import_file
from vggc.graph import Graph
from vggc.rewrite import run_rules

HERE = Path(__file__).parent
shown = import_file(HERE / "test_library.py")
generated = import_file(HERE.parent / "passes" / "test_generated_graphs.py")

CASES: dict[str, list[Any]] = {}
for each in shown.CASES:
    CASES.setdefault(each.name, []).append(each)

AGAINST_OTHERS = {"gemm_to_matmul_add", "gemm_to_matmul"}
"""Rules that undo what others of the library do."""

TOGETHER = [rule for name, rule in shown.RULES.items() if name not in AGAINST_OTHERS]
QUIET = {"suppress_health_check": list(HealthCheck)}


def check(model: onnx.ModelProto, rules: list[Any], feed: dict[str, Any], tolerance: float = 1e-5) -> Graph:
    """Apply rules twice: the outputs are kept, and the second time changes nothing."""
    before, after = Graph.from_model(model), Graph.from_model(model)
    after.infer_shapes()
    run_rules(after, rules)
    after.tidy()
    result = after.export(1 << 40).model
    onnx.checker.check_model(result, full_check=True)
    assert [value.name for value in result.graph.output] == [value.name for value in model.graph.output]

    want, got = shown.cases.execute(before, feed), shown.cases.execute(after, feed)
    for name, numbers in want.items():
        if numbers.dtype.kind != "f":
            np.testing.assert_array_equal(got[name], numbers)
            continue
        allowed = max(tolerance, 2e-3 if numbers.dtype == np.float16 else 0)
        expected, have = numbers.astype(np.float64), got[name].astype(np.float64)
        # Where large values cancel, what is left has their error.
        np.testing.assert_allclose(have, expected, rtol=0, atol=allowed * (1 + np.abs(expected).max(initial=0)))

    again = Graph.from_model(result)
    again.infer_shapes()
    assert not run_rules(again, rules).applied, "a second run changes more"
    return after


@st.composite
def variations(draw: Any, name: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """A case of a rule with other numbers, and its inputs.

    Perhaps one value more is among its outputs, or what was a constant is an input of the same numbers.
    """
    case = draw(st.sampled_from(CASES[name]))
    title = f"{case.title} {draw(st.integers(0, 99))}"
    model = shown.cases.parse(type(case)(**{**vars(case), "title": title}))
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {info.name: info for info in graph.value_info if info.type.HasField("tensor_type")}
    inner = [known[name] for node in graph.node for name in node.output if name in known]
    kind = draw(st.sampled_from(["as it is", "output", "input", "input"]))
    if kind == "output" and inner:
        model.graph.output.append(draw(st.sampled_from(inner)))
    weights = [each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT]
    feed = shown.cases.feeds(Graph.from_model(model), title)
    if kind == "input" and weights:
        taken = draw(st.sampled_from(weights))
        model.graph.initializer.remove(taken)
        info = helper.make_tensor_value_info(taken.name, taken.data_type, list(taken.dims))
        model.graph.input.append(info)
        feed[taken.name] = np.asarray(onnx.numpy_helper.to_array(taken))
    return model, feed


@pytest.mark.parametrize("name", sorted(CASES))
@given(data=st.data())
@settings(max_examples=3, **QUIET)
def test_each_rule(name: str, data: Any) -> None:
    model, feed = data.draw(variations(name))
    check(model, [shown.RULES[name]], feed)


class Builder(generated.Builder):  # type: ignore[misc]
    """Adds what the library is about; values are (batch, 4, 6, 6) as before."""

    def constant(self, *numbers: float, kind: Any = np.float32, shape: tuple[int, ...] = ()) -> str:
        return str(self.weight(np.array(numbers, kind).reshape(shape or (len(numbers),))))

    def scalar(self, number: float) -> str:
        return str(self.weight(np.array(number, np.float32)))

    def turned(self, x: str) -> str:
        """An order of axes, something in it, and back; a second reader now and then."""
        order = self.draw(st.permutations(range(4)))
        inside = self.add("Transpose", x, perm=order)
        if self.draw(st.booleans()):
            inside = self.add(self.draw(st.sampled_from(["Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu"])), inside)
        if self.draw(st.booleans()):
            inside = self.add(self.draw(st.sampled_from(["Mul", "Add", "Sub"])), inside, self.scalar(0.5))
        if self.draw(st.booleans()):
            inside = self.add("Add", inside, self.add("Transpose", self.pick(), perm=order))
        return str(self.add("Transpose", inside, perm=list(np.argsort(order))))

    def reshaped(self, x: str) -> str:
        rows = self.constant(-1, 24, 6, kind=int)
        flat = self.add("Flatten", x) if self.draw(st.booleans()) else self.add("Reshape", x, rows)
        return str(self.add("Reshape", flat, self.constant(-1, 4, 6, 6, kind=int)))

    def padded(self, x: str) -> str:
        x = self.add("Relu", x) if self.draw(st.booleans()) else x
        pads = self.constant(0, 0, 1, 1, 0, 0, 1, 1, kind=int)
        padded = self.add("Pad", x, pads)
        op = self.draw(st.sampled_from(["Conv", "MaxPool", "AveragePool"]))
        if op == "Conv":
            return str(self.add(op, padded, self.numbers(4, 4, 3, 3)))
        return str(self.add(op, padded, kernel_shape=[3, 3]))

    def clipped(self, x: str) -> str:
        low, high = self.scalar(self.draw(st.sampled_from([-1.0, 0.0, 0.5]))), self.scalar(1.5)
        kind = self.draw(st.sampled_from(["Clip", "Relu", "MinMax", "LeakyRelu"]))
        if kind == "MinMax":
            return str(self.add("Min", self.add("Max", x, low), high))
        if kind == "LeakyRelu":
            return str(self.add("Max", self.add("Mul", x, self.scalar(0.25)), x))
        return str(self.add("Clip", x, low, high) if kind == "Clip" else self.add(kind, x))

    def parted(self, x: str) -> str:
        sizes = self.constant(1, 3, kind=int)
        first = self.add("Split", x, sizes, outputs=2, axis=1)
        parts = [first, first[:-1] + "b"]
        order = self.draw(st.permutations(range(2)))
        return str(self.add("Concat", *(parts[at] for at in order), axis=1))

    def sliced(self, x: str) -> str:
        zero, two, end, axis = (self.constant(each, kind=int) for each in (0, 2, 6, 2))
        parts = [self.add("Slice", x, zero, two, axis), self.add("Slice", x, two, end, axis)]
        return str(self.add("Concat", *self.draw(st.permutations(parts)), axis=2))

    def activated(self, x: str) -> str:
        clip = self.add("Clip", self.add("Add", x, self.scalar(3)), self.scalar(0), self.scalar(6))
        if self.draw(st.booleans()):
            return str(self.add("Mul", x, self.add("Div", clip, self.scalar(6))))
        return str(self.add("Mul", self.add("Mul", clip, x), self.scalar(1 / 6)))

    def normed(self, x: str) -> str:
        axis = self.draw(st.sampled_from([1, 3, -1]))
        less = self.add("Sub", x, self.add("ReduceMean", x, axes=[axis]))
        square = self.add("Mul", less, less) if self.draw(st.booleans()) else self.add("Pow", less, self.scalar(2))
        root = self.add("Sqrt", self.add("Add", self.add("ReduceMean", square, axes=[axis]), self.scalar(0.1)))
        if self.draw(st.booleans()):
            return str(self.add("Mul", less, self.add("Reciprocal", root)))
        return str(self.add("Mul", self.add("Div", less, root), self.numbers(6)))

    def product(self, x: str) -> str:
        matrix = self.add("Reshape", x, self.constant(-1, 6, kind=int))
        matrix = self.add("MatMul", matrix, self.numbers(6, 6))
        if self.draw(st.booleans()):
            matrix = self.add("Add", matrix, self.numbers(6))
        return str(self.add("Reshape", matrix, self.constant(-1, 4, 6, 6, kind=int)))

    def signed(self, x: str) -> str:
        return str(self.add(self.draw(st.sampled_from(["Add", "Sub"])), self.pick(), self.add("Neg", x)))


KINDS = ("turned", "reshaped", "padded", "clipped", "parted", "sliced", "activated", "normed", "product", "signed")
KINDS += ("conv", "arithmetic", "two", "concat")


@st.composite
def models(draw: Any) -> onnx.ModelProto:
    builder = Builder(draw, np.random.default_rng(draw(st.integers(0, 9))))
    for kind in draw(st.lists(st.sampled_from([*KINDS, "turned", "arithmetic"]), min_size=1, max_size=8)):
        builder.step(kind)
    model: onnx.ModelProto = builder.model()
    return model


@given(model=models())
@settings(max_examples=60, **QUIET)
def test_all_rules_together(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    feed = {"x": np.random.default_rng(5).standard_normal((2, 4, 6, 6)).astype(np.float32)}
    check(model, TOGETHER, feed, tolerance=2e-5)
