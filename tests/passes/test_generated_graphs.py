"""Generated graphs: the exact passes keep the outputs, and change nothing when they run again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.passes.simplify import simplify
from vggc.rewrite import Pass

CHANNELS, SIZE, BATCH = 4, 6, 2


@dataclass
class Builder:
    """A model that grows node by node; every value is (batch, 4, 6, 6), so that any two can be added."""

    draw: Any
    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    values: list[str] = field(default_factory=lambda: ["x"])

    def weight(self, values: NDArray[Any]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(values, name))
        return name

    def numbers(self, *shape: int, positive: bool = False) -> str:
        values = self.random.standard_normal(shape)
        if len(shape) == 4 and shape[0] == CHANNELS:
            values /= np.sqrt(np.prod(shape[1:]))
        values = np.abs(values) + 0.5 if positive else values
        # Few different numbers make equal constants and neutral ones likely.
        return self.weight(np.round(values, self.draw(st.sampled_from([0, 5])) + positive).astype(np.float32))

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"v{len(self.nodes)}{'abc'[index]}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names[0]

    def pick(self) -> str:
        """A value to go on with: mostly the last one."""
        return str(self.draw(st.sampled_from([*self.values, self.values[-1], self.values[-1]])))

    def step(self, kind: str) -> None:
        self.values.append(getattr(self, kind)(self.pick()))

    def conv(self, x: str) -> str:
        group = self.draw(st.sampled_from([1, 1, 2, CHANNELS]))
        kernel = self.draw(st.sampled_from([1, 3]))
        inputs = [x, self.numbers(CHANNELS, CHANNELS // group, kernel, kernel)]
        if self.draw(st.booleans()):
            inputs.append(self.numbers(CHANNELS))
        return self.add("Conv", *inputs, group=group, pads=[kernel // 2] * 4)

    def conv_transpose(self, x: str) -> str:
        group = self.draw(st.sampled_from([1, 2]))
        weight = self.numbers(CHANNELS, CHANNELS // group, 3, 3)
        return self.add("ConvTranspose", x, weight, group=group, pads=[1] * 4)

    def batch_norm(self, x: str) -> str:
        scale, shift, mean = (self.numbers(CHANNELS) for _ in range(3))
        return self.add("BatchNormalization", x, scale, shift, mean, self.numbers(CHANNELS, positive=True))

    def arithmetic(self, x: str) -> str:
        op = self.draw(st.sampled_from(["Mul", "Add", "Sub", "Div"]))
        shapes = [(CHANNELS, 1, 1), (1, CHANNELS, 1, 1), (), (1,), (SIZE,), (1, 1, SIZE, 1)]
        constant = self.numbers(*self.draw(st.sampled_from(shapes)), positive=op == "Div")
        swap = op in ("Mul", "Add", "Sub") and self.draw(st.booleans())
        return self.add(op, *((constant, x) if swap else (x, constant)))

    def neutral(self, x: str) -> str:
        kind = self.draw(st.sampled_from(["Identity", "Dropout", "Cast", "Transpose", "one", "Expand", "Reshape"]))
        if kind == "Cast":
            return self.add(kind, x, to=onnx.TensorProto.FLOAT)
        if kind == "Transpose":
            return self.add(kind, x, perm=[0, 1, 2, 3])
        if kind == "one":
            return self.add("Mul", x, self.weight(np.ones(1, np.float32)))
        if kind in ("Expand", "Reshape"):
            return self.add(kind, x, self.add("Shape", self.pick()))
        return self.add(kind, x)

    def two(self, x: str) -> str:
        return self.add(self.draw(st.sampled_from(["Add", "Mul"])), x, self.pick())

    def concat(self, x: str) -> str:
        both = self.add("Concat", x, self.pick(), axis=1)
        return self.add("Conv", both, self.numbers(CHANNELS, 2 * CHANNELS, 1, 1))

    def dense(self, x: str) -> str:
        """Down to a matrix and up again, the batch taken from a shape."""
        one = self.weight(np.array([1]))
        batch = self.add("Slice", self.add("Shape", x), self.weight(np.array([0])), one)
        width = self.weight(np.array([CHANNELS]))
        flat = self.add("Reshape", self.add("GlobalAveragePool", x), self.add("Concat", batch, width, axis=0))
        if self.draw(st.booleans()):
            product = self.add("Gemm", flat, self.numbers(CHANNELS, CHANNELS), self.numbers(CHANNELS), transB=1)
        else:
            product = self.add("MatMul", flat, self.numbers(CHANNELS, CHANNELS))
        if self.draw(st.booleans()):
            product = self.batch_norm(product)
        target = self.add("Concat", batch, width, one, one, axis=0)
        return self.add("Mul", x, self.add("Reshape", product, target))

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def model(self) -> onnx.ModelProto:
        made = [name for name in self.values if name != "x"]
        outputs = self.draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True))
        shape = ["batch", CHANNELS, SIZE, SIZE]
        infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("x", *outputs)]
        graph = helper.make_graph(self.nodes, "generated", infos[:1], infos[1:], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


KINDS = ("conv", "conv_transpose", "batch_norm", "arithmetic", "neutral", "two", "concat", "dense", "relu")


@st.composite
def models(draw: Any) -> onnx.ModelProto:
    builder = Builder(draw, np.random.default_rng(draw(st.integers(0, 9))))
    for kind in draw(
        st.lists(st.sampled_from([*KINDS, "batch_norm", "batch_norm", "arithmetic"]), min_size=1, max_size=10)
    ):
        builder.step(kind)
    return builder.model()


@pytest.mark.parametrize(
    "steps",
    [(simplify,), (fold_batch_norm,), (simplify, fold_batch_norm)],
    ids=lambda steps: " ".join(step.name for step in steps),
)
@given(model=models())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_outputs_are_kept(steps: tuple[Pass, ...], model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    before, after = Graph.from_model(model), Graph.from_model(model)
    for each in steps:
        each(after)
        after.tidy()
        nodes = len(after.nodes)
        second = each(after)
        after.tidy()
        assert (second.total, len(after.nodes)) == (0, nodes), f"{each.name} changes more when it runs again"
    result = after.export(1 << 40).model
    onnx.checker.check_model(result, full_check=True)
    assert list(result.graph.output) == list(model.graph.output)
    assert list(result.graph.input) == list(model.graph.input)

    feed = {"x": np.random.default_rng(5).standard_normal((BATCH, CHANNELS, SIZE, SIZE)).astype(np.float32)}
    want, got = Session(before).run(feed), Session(after).run(feed)
    for name, numbers in want.items():
        # Where large values cancel, what is left has their error.
        np.testing.assert_allclose(got[name], numbers, rtol=0, atol=1e-5 * (1 + np.abs(numbers).max()))
