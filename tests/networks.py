"""Small networks written node by node, one of each kind that people prune. Tests get this file as `networks`.

Each function makes a graph with seeded weights; `k` times as many channels lie between its input and its output.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vggc.graph import Graph


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


def plain_with_flatten(k: int = 1) -> Graph:
    """VGG: convolutions, pools, a Flatten of 2 x 2 images and two Gemm."""
    n = Net()
    x = n.op("MaxPool", n.op("Relu", n.conv("x", 3, 6 * k)), kernel_shape=[2, 2], strides=[2, 2])
    x = n.op("MaxPool", n.op("Relu", n.conv(x, 6 * k, 7 * k)), kernel_shape=[2, 2], strides=[2, 2])
    x = n.op("Relu", n.linear(n.op("Flatten", x), 28 * k, 9 * k))
    return n.graph(n.linear(x, 9 * k, 5))


def plain_with_global_pooling(k: int = 1) -> Graph:
    n = Net()
    x = n.op("Relu", n.conv("x", 3, 6 * k))
    return n.graph(n.head(n.op("Relu", n.conv(x, 6 * k, 8 * k)), 8 * k))


def batch_norms_unfolded(k: int = 1) -> Graph:
    n = Net()
    return n.graph(n.head(n.block(n.block("x", 3, 6 * k), 6 * k, 8 * k), 8 * k))


def _basic(n: Net, x: str, into: int, out: int, stride: int) -> str:
    """A basic residual block, with a projection where the shape changes."""
    y = n.block(x, into, out, strides=[stride, stride])
    y = n.norm(n.conv(y, out, out, bias=False), out)
    if stride > 1 or into != out:
        x = n.norm(n.conv(x, into, out, 1, bias=False, strides=[stride, stride]), out)
    return str(n.op("Relu", n.op("Add", y, x)))


def residual_blocks_with_projection(k: int = 1) -> Graph:
    n = Net()
    x = _basic(n, n.block("x", 3, 6 * k), 6 * k, 6 * k, 1)
    x = _basic(n, _basic(n, x, 6 * k, 8 * k, 2), 8 * k, 8 * k, 1)
    return n.graph(n.head(x, 8 * k))


def bottlenecks(k: int = 1) -> Graph:
    n = Net()
    x = n.block("x", 3, 12 * k)
    for _ in range(2):
        y = n.block(n.block(x, 12 * k, 4 * k, 1), 4 * k, 5 * k)
        x = n.op("Relu", n.op("Add", n.norm(n.conv(y, 5 * k, 12 * k, 1), 12 * k), x))
    return n.graph(n.head(x, 12 * k))


def inverted_residuals(k: int = 1) -> Graph:
    n = Net()

    def six(x: str) -> str:
        return str(n.op("Clip", x, n.constant(0.0), n.constant(6.0)))

    x = n.block("x", 3, 6 * k)
    for _ in range(2):
        y = six(n.norm(n.conv(x, 6 * k, 18 * k, 1, bias=False), 18 * k))
        y = six(n.norm(n.conv(y, 18 * k, 18 * k, group=18 * k, bias=False), 18 * k))
        x = n.op("Add", x, n.norm(n.conv(y, 18 * k, 6 * k, 1, bias=False), 6 * k))
    return n.graph(n.head(x, 6 * k))


def squeeze_and_excitation(k: int = 1) -> Graph:
    n = Net()
    x = n.block("x", 3, 8 * k)
    gate = n.op("Relu", n.conv(n.op("GlobalAveragePool", x), 8 * k, 3 * k, 1))
    x = n.op("Mul", x, n.op("Sigmoid", n.conv(gate, 3 * k, 8 * k, 1)))
    return n.graph(n.head(n.block(x, 8 * k, 6 * k), 6 * k))


def dense_block(k: int = 1) -> Graph:
    """DenseNet: everything so far joined with what is new."""
    n = Net()
    x, channels = n.conv("x", 3, 6 * k), 6 * k
    for _ in range(3):
        x = n.op("Concat", x, n.conv(n.op("Relu", n.norm(x, channels)), channels, 4 * k), axis=1)
        channels += 4 * k
    x = n.conv(n.op("Relu", n.norm(x, channels)), channels, 7 * k, 1)
    return n.graph(n.head(n.op("AveragePool", x, kernel_shape=[2, 2]), 7 * k))


def shuffle(n: Net, x: str, channels: int, group: int, size: int) -> str:
    """ShuffleNet's exchange of channels between groups: Reshape, Transpose, Reshape."""
    x = n.op("Reshape", x, n.ints(-1, group, channels // group, size, size))
    return str(n.op("Reshape", n.op("Transpose", x, perm=[0, 2, 1, 3, 4]), n.ints(-1, channels, size, size)))


def channel_shuffle(k: int = 1) -> Graph:
    n = Net()
    c = 12 * k
    x = n.block("x", 3, c)
    y = shuffle(n, n.op("Relu", n.norm(n.conv(x, c, c, 1, group=3), c)), c, 3, 8)
    y = n.norm(n.conv(y, c, c, group=c), c)
    x = n.op("Relu", n.op("Add", x, n.norm(n.conv(y, c, c, 1, group=3), c)))
    return n.graph(n.head(x, c))


def split_and_concat(k: int = 1) -> Graph:
    n = Net()
    x = n.block("x", 3, 10 * k)
    one, two = n.op("Split", x, n.ints(4 * k, 6 * k), outputs=2, axis=1)
    branch = n.block(n.block(two, 6 * k, 3 * k), 3 * k, 6 * k)
    x = n.op("Concat", two, n.block(one, 4 * k, 5 * k), branch, axis=1)
    return n.graph(n.head(n.block(x, 17 * k, 7 * k), 7 * k))


def unet_with_resize_and_concat(k: int = 1) -> Graph:
    n = Net(shape=(2, 3, 8, 8))
    top = n.block("x", 3, 5 * k)
    low = n.block(n.op("MaxPool", top, kernel_shape=[2, 2], strides=[2, 2]), 5 * k, 9 * k)
    up = n.op("Resize", low, "", "", n.ints(2, 9 * k, 8, 8), mode="nearest")
    return n.graph(n.conv(n.block(n.op("Concat", top, up, axis=1), 14 * k, 6 * k), 6 * k, 2, 1))


def unet_with_computed_sizes(k: int = 1) -> Graph:
    """As torch.nn.functional.interpolate(low, size=top.shape[2:]) is exported."""
    n = Net(shape=("batch", 3, "height", "width"))
    top = n.block("x", 3, 5 * k)
    low = n.block(n.op("MaxPool", top, kernel_shape=[2, 2], strides=[2, 2]), 5 * k, 9 * k)
    batch = n.op("Slice", n.op("Shape", low), n.ints(0), n.ints(2), n.ints(0))
    size = n.op("Slice", n.op("Shape", top), n.ints(2), n.ints(4), n.ints(0))
    up = n.op("Resize", low, "", "", n.op("Concat", batch, size, axis=0), mode="nearest")
    return n.graph(n.conv(n.block(n.op("Concat", top, up, axis=1), 14 * k, 6 * k), 6 * k, 2, 1))


def nhwc_with_reshape_to_matmul(k: int = 1) -> Graph:
    """As tf2onnx exports a network of channels last."""
    n = Net(shape=("batch", 8, 8, 3))
    x = n.op("Transpose", "x", perm=[0, 3, 1, 2])
    x = n.op("Transpose", n.conv(x, 3, 6 * k), perm=[0, 2, 3, 1])
    x = n.op("Relu", n.op("Add", n.op("Mul", x, n.positive(6 * k)), n.weight(6 * k)))
    x = n.block(n.op("Transpose", x, perm=[0, 3, 1, 2]), 6 * k, 4 * k, strides=[2, 2])
    x = n.op("Reshape", n.op("Transpose", x, perm=[0, 2, 3, 1]), n.ints(-1, 64 * k))
    x = n.op("Relu", n.op("Add", n.op("MatMul", x, n.weight(64 * k, 9 * k)), n.weight(9 * k)))
    return n.graph(n.op("MatMul", x, n.weight(9 * k, 5)))


Values = list[tuple[str, int, int]]


class Grower:
    """A network nobody would think of: adds random operators to values (name, channels, height and width)."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.net = Net(seed=seed)
        self.values: Values = [(self.net.conv("x", 3, 8), 8, 8)]

    def grow(self, steps: int) -> Graph:
        rules = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("add_")]
        while len(self.values) < steps:
            grown = self.random.choice(rules)(*self.random.choice(self.values[-4:]))
            self.values += grown or []
        heads = [self.net.head(name, channels, 3) for name, channels, _ in self.values[-3:]]
        return self.net.graph(self.net.op("Sum", *heads))

    def target(self, x: str, *tail: int) -> str:
        """A shape to reshape a value to, as a constant or computed."""
        if self.random.random() < 0.5:
            return self.net.ints(-1, *tail)
        batch = self.net.op("Slice", self.net.op("Shape", x), self.net.ints(0), self.net.ints(1))
        return self.net.op("Concat", batch, self.net.ints(*tail), axis=0)

    def add_conv(self, x: str, c: int, s: int) -> Values | None:
        out, group = self.random.choice([4, 6, 8, 12]), self.random.choice([1, 1, 2, 4])
        group = 1 if c % group or out % group else group
        return [(self.net.conv(x, c, out, self.random.choice([1, 3]), group=group), out, s)]

    def add_depthwise(self, x: str, c: int, s: int) -> Values | None:
        return [(self.net.op("Conv", x, self.net.weight(2 * c, 1, 1, 1), group=c), 2 * c, s)] if c <= 12 else None

    def add_norm(self, x: str, c: int, s: int) -> Values | None:
        return [(self.net.norm(x, c), c, s)]

    def add_activation(self, x: str, c: int, s: int) -> Values | None:
        return [(self.net.op(self.random.choice(["Relu", "Tanh", "Neg"]), x), c, s)]

    def add_sum(self, x: str, c: int, s: int) -> Values | None:
        other = self.random.choice([each for each in self.values if each[1:] == (c, s)])
        return [(self.net.op(self.random.choice(["Add", "Mul", "Max"]), x, other[0]), c, s)]

    def add_gate(self, x: str, c: int, s: int) -> Values | None:
        gate = self.net.conv(self.net.op("GlobalAveragePool", x), c, c, 1)
        return [(self.net.op("Mul", x, self.net.op("Sigmoid", gate)), c, s)]

    def add_concat(self, x: str, c: int, s: int) -> Values | None:
        other = self.random.choice([each for each in self.values if each[2] == s])
        return [(self.net.op("Concat", x, other[0], axis=1), c + other[1], s)] if c + other[1] <= 24 else None

    def add_split(self, x: str, c: int, s: int) -> Values | None:
        at = self.random.randint(1, c - 1) if c > 1 else 0
        parts = self.net.op("Split", x, self.net.ints(at, c - at), outputs=2, axis=1) if at else None
        return parts and [(parts[0], at, s), (parts[1], c - at, s)]

    def add_slice(self, x: str, c: int, s: int) -> Values | None:
        first, last = sorted(self.random.sample(range(c + 1), 2))
        step = self.random.choice([1, 2, -1])
        bounds = (first, last, 1, step) if step > 0 else (last - 1, first - 1 if first else -1000, 1, step)
        return [(self.net.op("Slice", x, *map(self.net.ints, bounds)), len(range(first, last, abs(step))), s)]

    def add_gather(self, x: str, c: int, s: int) -> Values | None:
        places = [self.random.randrange(c) for _ in range(self.random.randint(2, 8))]
        return [(self.net.op("Gather", x, self.net.ints(*places), axis=1), len(places), s)]

    def add_pad(self, x: str, c: int, s: int) -> Values | None:
        before, after = self.random.randint(0, 2), self.random.randint(0, 2)
        return [(self.net.op("Pad", x, self.net.ints(0, before, 0, 0, 0, after, 0, 0)), c + before + after, s)]

    def add_shuffle(self, x: str, c: int, s: int) -> Values | None:
        rows = self.random.choice([each for each in (2, 3, 4, c) if c % each == 0])
        x = self.net.op("Reshape", x, self.target(x, rows, c // rows, s, s))
        x = self.net.op("Transpose", x, perm=[0, 2, 1, 3, 4])
        return [(self.net.op("Reshape", x, self.target(x, c, s, s)), c, s)]

    def add_channels_last(self, x: str, c: int, s: int) -> Values | None:
        out = self.random.choice([4, 6])
        x = self.net.op("Mul", self.net.op("Transpose", x, perm=[0, 2, 3, 1]), self.net.positive(c))
        return [
            (self.net.op("Transpose", self.net.op("MatMul", x, self.net.weight(c, out)), perm=[0, 3, 1, 2]), out, s)
        ]

    def add_space(self, x: str, c: int, s: int) -> Values | None:
        if c % 4 == 0 and s <= 8:
            mode = self.random.choice(["DCR", "CRD"])
            return [(self.net.op("DepthToSpace", x, blocksize=2, mode=mode), c // 4, 2 * s)]
        return [(self.net.op("SpaceToDepth", x, blocksize=2), 4 * c, s // 2)] if c <= 6 and s >= 4 else None

    def add_resize(self, x: str, c: int, s: int) -> Values | None:
        if s > 4:
            return [(self.net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), c, s // 2)]
        scales = self.net.constant([1.0, 1.0, 2.0, 2.0])
        return [(self.net.op("Resize", x, "", scales, mode="nearest"), c, 2 * s)]

    def add_features(self, x: str, c: int, s: int) -> Values | None:
        if c * s * s > 300:
            return None
        x = self.net.op("Reshape", x, self.target(x, c * s * s))
        x = self.net.op("Tanh", self.net.linear(x, c * s * s, 16))
        return [(self.net.op("Reshape", x, self.target(x, 4, 2, 2)), 4, 2)]

    def add_layer_norm(self, x: str, c: int, s: int) -> Values | None:
        x = self.net.op("Transpose", x, perm=[0, 2, 3, 1])
        x = self.net.op("LayerNormalization", x, self.net.positive(c), self.net.weight(c), axis=-1)
        return [(self.net.op("Transpose", x, perm=[0, 3, 1, 2]), c, s)]

    def add_group_norm(self, x: str, c: int, s: int) -> Values | None:
        blocks = self.random.choice([each for each in (1, 2, 3, 4) if c % each == 0])
        y = self.net.op("Reshape", x, self.net.ints(0, blocks, -1))
        y = self.net.op("InstanceNormalization", y, self.net.positive(blocks), self.net.weight(blocks))
        return [(self.net.op("Reshape", y, self.target(x, c, s, s)), c, s)]

    def add_spatial_attention(self, x: str, c: int, s: int) -> Values | None:
        planes = [self.net.op(op, x, axes=[1]) for op in ("ReduceMean", "ReduceMax", "ReduceMin")]
        gate = self.net.conv(self.net.op("Concat", *planes, axis=1), 3, 1)
        return [(self.net.op("Mul", x, self.net.op("Sigmoid", gate)), c, s)]

    def add_attention_of_neighbours(self, x: str, c: int, s: int) -> Values | None:
        line = self.net.op("Reshape", self.net.op("GlobalAveragePool", x), self.net.ints(-1, 1, c))
        line = self.net.op("Conv", line, self.net.weight(1, 1, 3), pads=[1, 1])
        gate = self.net.op("Reshape", line, self.net.ints(-1, c, 1, 1))
        return [(self.net.op("Mul", x, self.net.op("Sigmoid", gate)), c, s)]

    def add_einsum(self, x: str, c: int, s: int) -> Values | None:
        return [(self.net.op("Einsum", x, self.net.weight(6, c), equation="bchw,oc->bohw"), 6, s)]

    def add_what_needs_all(self, x: str, c: int, s: int) -> Values | None:
        return [(self.net.op("Mul", x, self.net.op("Softmax", x, axis=self.random.choice([1, 3]))), c, s)]


KINDS: dict[str, Callable[[int], Graph]] = {
    each.__name__: each
    for each in (
        plain_with_flatten,
        plain_with_global_pooling,
        batch_norms_unfolded,
        residual_blocks_with_projection,
        bottlenecks,
        inverted_residuals,
        squeeze_and_excitation,
        dense_block,
        channel_shuffle,
        split_and_concat,
        unet_with_resize_and_concat,
        unet_with_computed_sizes,
        nhwc_with_reshape_to_matmul,
    )
}
