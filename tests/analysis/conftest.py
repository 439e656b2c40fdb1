"""Small networks written node by node, and the proof that channels can be removed from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vggc.analysis.channels import Groups, channel_groups, prove
from vggc.analysis.costs import costs
from vggc.graph import Graph
from vggc.inputs import random_inputs
from vggc.runtime import Session


class Net:
    """Collects nodes and seeded weights; every method returns the name of what it computes."""

    def __init__(self, opset: int = 17, *, shape: Sequence[int | str] = ("batch", 3, 8, 8), seed: int = 0) -> None:
        self.opset = opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        self.count = 0

    def name(self, hint: str) -> str:
        self.count += 1
        return f"{hint}{self.count}"

    def constant(self, array: Any, hint: str = "constant") -> str:
        values = np.asarray(array)
        values = values.astype(np.float32) if values.dtype == np.float64 else values
        self.weights.append(numpy_helper.from_array(values, self.name(hint)))
        return str(self.weights[-1].name)

    def weight(self, *shape: int) -> str:
        fan = max(1, int(np.prod(shape[1:])))
        return self.constant(self.random.normal(size=shape) / np.sqrt(fan), "weight")

    def positive(self, *shape: int) -> str:
        return self.constant(self.random.uniform(0.5, 1.5, shape), "weight")

    def ints(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64), "ints")

    def op(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [self.name(op.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=self.name(f"{op}_"), **attributes))
        return names[0] if outputs == 1 else names

    def conv(
        self, x: str, into: int, out: int, kernel: int = 3, *, group: int = 1, bias: bool = True, **more: Any
    ) -> str:
        shape = (out, into // group, kernel, kernel)
        more = {"pads": [kernel // 2] * 4, **more}
        return str(self.op("Conv", x, self.weight(*shape), *([self.weight(out)] if bias else []), group=group, **more))

    def norm(self, x: str, channels: int) -> str:
        parameters = [self.positive(channels), self.weight(channels), self.weight(channels), self.positive(channels)]
        return str(self.op("BatchNormalization", x, *parameters))

    def block(self, x: str, into: int, out: int, kernel: int = 3, **more: Any) -> str:
        """Conv, batch norm, Relu."""
        return str(self.op("Relu", self.norm(self.conv(x, into, out, kernel, bias=False, **more), out)))

    def linear(self, x: str, into: int, out: int) -> str:
        return str(self.op("Gemm", x, self.weight(out, into), self.weight(out), transB=1))

    def head(self, x: str, channels: int, classes: int = 5) -> str:
        """Global average pooling and a classifier."""
        return self.linear(self.op("Flatten", self.op("GlobalAveragePool", x)), channels, classes)

    def graph(self, *outputs: str) -> Graph:
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        proto = helper.make_graph(self.nodes, "net", self.inputs, results, self.weights)
        model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        graph = Graph.from_model(model)
        graph.infer_shapes(check=True)
        return graph


@pytest.fixture
def net() -> type[Net]:
    return Net


def _differ(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return any(not np.allclose(before[name], after[name], rtol=1e-3, atol=1e-4) for name in before)


def _look_right(groups: Groups) -> None:
    """What is said of the nodes with weights fits their shapes."""
    for each in groups.weighted:
        sides = (
            (each.inputs, groups.graph.shape(each.node.inputs[each.data]), each.axis, each.weight_in),
            (each.outputs, groups.graph.shape(each.node.outputs[0]), each.out_axis, each.weight_out),
        )
        for channels, shape, axis, along in sides:
            if channels is None:
                continue
            # Inference does not know the parts of a sequence.
            assert shape is None or shape[axis] in (len(channels), None)
            if each.weight is not None and along is not None and not each.depthwise:
                assert each.node.inputs[each.weight].shape[along] in (len(channels), len(channels) // each.blocks)
        assert each.weight is None or each.weight_in != each.weight_out


Removes = Callable[..., Groups]


@pytest.fixture
def removes() -> Removes:
    """`removes(graph)` cuts random channels out of a graph, twice anew, and proves each result.

    What is left must be valid, equal the masked original to 1e-5, and cost what the cost model said. Returns the
    groups of the graph as it was given. `matters`: the channels that go must have made a difference.
    """

    def check(graph: Graph, rounds: int = 2, *, matters: bool = True) -> Groups:
        differs = False
        for seed in range(rounds):
            random = np.random.default_rng(seed)
            sliced = graph.copy()
            groups = channel_groups(sliced)
            keep = {
                group.id: group.best(random.random(group.size), int(random.integers(1, group.size)))
                for group in groups.prunable
            }
            assert any(len(atoms) < groups[index].size for index, atoms in keep.items())
            said = groups.cost(keep)
            masked = groups.masked(keep)
            groups.slice(keep)
            sliced.infer_shapes(check=True)
            now = costs(sliced)
            assert (said.params, said.macs) == (now.params, now.macs)
            feeds = random_inputs(graph, seed=seed)
            assert prove(masked, sliced, feeds).error <= 1e-5
            differs = differs or _differ(Session(graph).run(feeds[0]), Session(masked).run(feeds[0]))
        # A proof about channels that do nothing would prove nothing.
        assert differs or not matters
        groups = channel_groups(graph)
        _look_right(groups)
        return groups

    return check
