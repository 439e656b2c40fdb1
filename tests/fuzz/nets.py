"""Random valid models over the operators that convolutional networks use, and random recipes for them.

A generator of our own, since what matters here is what fuzzers of single operators leave out: batch norms, residual
sums, concatenations, shuffles and heads on top of each other, in the ways different exporters write them. The shapes of
all values are kept beside them, so that each model is valid by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

Shape = tuple[int, ...]

OPSETS = (11, 13, 15, 17, 20, 21)
SAMPLES = 16

_TOLERANCE = 2e-4
"""What outputs may move by, relative to the largest: a norm of two numbers multiplies rounding errors."""


class Net:
    """A model that grows node by node; `shapes` are those of its values without the batch."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.numbers = np.random.default_rng(random.randrange(1 << 30))
        self.opset = random.choice(OPSETS)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        size = random.choice((6, 8, 9, 12))
        self.shapes: dict[str, Shape] = {"x": (random.choice((1, 3, 4)), size, size)}
        self.last = "x"

    def weight(self, values: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def floats(self, *shape: int, low: float | None = None) -> str:
        if low is not None:
            return self.weight(self.numbers.uniform(low, 1.5, shape).astype(np.float32))
        scale = np.sqrt(max(1, int(np.prod(shape[1:])))) if len(shape) > 1 else 2.0
        return self.weight((self.numbers.standard_normal(shape) / scale).astype(np.float32))

    def add(self, op: str, inputs: list[str], shape: Shape, *, outputs: int = 1, **attributes: Any) -> str:
        names = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, f"{op}_{len(self.nodes)}", **attributes))
        self.shapes.update(dict.fromkeys(names, shape))
        return names[0]

    def grow(self) -> None:
        """Put one block on top of the last value, or of an earlier one."""
        images = [name for name, shape in self.shapes.items() if len(shape) == 3 and min(shape[1:]) >= 3]
        base = self.last if self.last in images and self.random.random() < 0.8 else self.random.choice(images)
        self.last = self.random.choice(BLOCKS)(self, base)

    def model(self) -> onnx.ModelProto:
        made = [name for name in self.shapes if name != "x"]
        outputs = list(
            dict.fromkeys([self.last, *self.random.sample(made, min(len(made), self.random.choice((0, 0, 1))))])
        )
        infos = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *self.shapes[name]])
            for name in ("x", *outputs)
        ]
        graph = helper.make_graph(self.nodes, "net", infos[:1], infos[1:], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def samples(self, count: int = SAMPLES) -> Any:
        return self.numbers.standard_normal((count, *self.shapes["x"])).astype(np.float32)


def conv(net: Net, x: str, *, channels: int = 0, kernel: int = 0, stride: int = 0) -> str:
    c, h, w = net.shapes[x]
    kernel = kernel or net.random.choice((1, 3))
    stride = stride or net.random.choice((1, 1, 2))
    depthwise = not channels and net.random.random() < 0.2
    channels = channels or (c if depthwise else net.random.choice((4, 6, 8)))
    group = c if depthwise else 1
    inputs = [x, net.floats(channels, c // group, kernel, kernel)]
    if net.random.random() < 0.5:
        inputs.append(net.floats(channels))
    pads = kernel // 2
    shape = (channels, *((each + 2 * pads - kernel) // stride + 1 for each in (h, w)))
    return net.add("Conv", inputs, shape, group=group, pads=[pads] * 4, strides=[stride] * 2, kernel_shape=[kernel] * 2)


def norm(net: Net, x: str) -> str:
    c = net.shapes[x][0]
    if net.random.random() < 0.15:
        return net.add("InstanceNormalization", [x, net.floats(c, low=0.5), net.floats(c)], net.shapes[x])
    if net.random.random() < 0.2:
        scaled = net.add(
            "Mul", [x, net.weight(net.numbers.uniform(0.5, 1.5, (c, 1, 1)).astype(np.float32))], net.shapes[x]
        )
        shift = net.weight(net.numbers.standard_normal((1, c, 1, 1)).astype(np.float32))
        return net.add("Add", [scaled, shift], net.shapes[x])
    inputs = [x, net.floats(c, low=0.5), net.floats(c), net.floats(c), net.floats(c, low=0.5)]
    return net.add("BatchNormalization", inputs, net.shapes[x])


def activation(net: Net, x: str) -> str:
    shape = net.shapes[x]
    kind = net.random.choice(
        ("Relu", "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "Tanh", "Elu", "Clip", "silu", "PRelu")
    )
    if kind == "Clip":
        return net.add(kind, [x, net.weight(np.float32(0)), net.weight(np.float32(6))], shape)
    if kind == "silu":
        return net.add("Mul", [x, net.add("Sigmoid", [x], shape)], shape)
    if kind == "PRelu":
        return net.add(
            kind, [x, net.weight(net.numbers.uniform(0.05, 0.5, (shape[0], 1, 1)).astype(np.float32))], shape
        )
    return net.add(kind, [x], shape)


def conv_norm(net: Net, x: str) -> str:
    y = conv(net, x)
    y = norm(net, y) if net.random.random() < 0.8 else y
    return activation(net, y) if net.random.random() < 0.8 else y


def residual(net: Net, x: str) -> str:
    c = net.shapes[x][0]
    y = norm(
        net, conv(net, activation(net, norm(net, conv(net, x, kernel=3, stride=1))), channels=c, kernel=3, stride=1)
    )
    return activation(net, net.add(net.random.choice(("Add", "Sum")), [y, x], net.shapes[x]))


def branches(net: Net, x: str) -> str:
    made = [norm(net, conv(net, x, stride=1)) for _ in range(net.random.choice((2, 3)))]
    made = made if net.random.random() < 0.5 else [*made, x]
    channels = sum(net.shapes[each][0] for each in made)
    return net.add("Concat", made, (channels, *net.shapes[x][1:]), axis=1)


def pool(net: Net, x: str) -> str:
    c, h, w = net.shapes[x]
    op = net.random.choice(("MaxPool", "AveragePool"))
    shape = (c, (h - 2) // 2 + 1, (w - 2) // 2 + 1)
    return net.add(op, [x], shape, kernel_shape=[2, 2], strides=[2, 2])


def squeeze_excite(net: Net, x: str) -> str:
    c = net.shapes[x][0]
    y = net.add("GlobalAveragePool", [x], (c, 1, 1))
    y = net.add("Relu", [conv(net, y, channels=4, kernel=1, stride=1)], (4, 1, 1))
    y = net.add(
        net.random.choice(("Sigmoid", "HardSigmoid")), [conv(net, y, channels=c, kernel=1, stride=1)], (c, 1, 1)
    )
    return net.add("Mul", [x, y] if net.random.random() < 0.5 else [y, x], net.shapes[x])


def padded(net: Net, x: str) -> str:
    c, h, w = net.shapes[x]
    value = net.weight(np.float32(net.random.choice((0, 0, 1))))
    y = net.add("Pad", [x, net.weight(np.array([0, 0, 0, 1, 0, 0, 1, 0])), value], (c, h + 1, w + 1))
    inputs = [y, net.floats(6, c, 3, 3)]
    return norm(net, net.add("Conv", inputs, (6, h - 1, w - 1), kernel_shape=[3, 3]))


def shuffle(net: Net, x: str) -> str:
    x = conv(net, x, channels=8, stride=1)
    c, h, w = net.shapes[x]
    y = net.add("Reshape", [x, net.weight(np.array([0, 2, c // 2, h, w]))], (2, c // 2, h, w))
    y = net.add("Transpose", [y], (c // 2, 2, h, w), perm=[0, 2, 1, 3, 4])
    return net.add("Reshape", [y, net.weight(np.array([0, c, h, w]))], (c, h, w))


def split(net: Net, x: str) -> str:
    x = conv(net, x, channels=8, stride=1)
    c, h, w = net.shapes[x]
    sizes = [net.weight(np.array([4, 4]))] if net.opset >= 13 else []
    attributes = {} if net.opset >= 13 else {"split": [4, 4]}
    net.add("Split", [x, *sizes], (c // 2, h, w), outputs=2, axis=1, **attributes)
    first, second = (f"v{len(net.nodes) - 1}_{index}" for index in range(2))
    return net.add("Concat", [conv_same(net, first), second], (c, h, w), axis=1)


def conv_same(net: Net, x: str) -> str:
    return activation(net, norm(net, conv(net, x, channels=net.shapes[x][0], kernel=3, stride=1)))


def upsampled(net: Net, x: str) -> str:
    c, h, w = net.shapes[x]
    if max(h, w) > 12:
        return activation(net, x)
    scales = net.weight(np.array([1, 1, 2, 2], np.float32))
    mode = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return net.add("Resize", [x, "" if net.opset >= 13 else net.floats(0), scales], (c, 2 * h, 2 * w), **mode)


def nothing(net: Net, x: str) -> str:
    return net.add(net.random.choice(("Identity", "Dropout")), [x], net.shapes[x])


def head(net: Net, x: str) -> None:
    """A pool, a matrix product, perhaps a softmax."""
    c, h, w = net.shapes[x]
    if net.random.random() < 0.7:
        x, (h, w) = net.add("GlobalAveragePool", [x], (c, 1, 1)), (1, 1)
    flat = net.add("Flatten", [x], (c * h * w,))
    classes = net.random.choice((3, 5))
    if net.random.random() < 0.5:
        y = net.add("Gemm", [flat, net.floats(classes, c * h * w), net.floats(classes)], (classes,), transB=1)
    else:
        y = net.add("MatMul", [flat, net.floats(c * h * w, classes)], (classes,))
        y = net.add("Add", [y, net.floats(classes)], (classes,))
    net.last = net.add("Softmax", [y], (classes,), axis=1) if net.random.random() < 0.3 else y


Block = Callable[[Net, str], str]

BLOCKS: tuple[Block, ...] = (
    *(conv_norm, conv_norm, conv_norm, residual, branches, pool, squeeze_excite),
    *(padded, shuffle, split, upsampled, nothing, activation, norm),
)

EXACT = ("simplify", "fold_batch_norm", "optimize", "set_batch(2)")
LOSSY = (
    "prune_channels(macs=60%, data=calib, align=1)",
    "prune_channels(params=50%, align=2)",
    "quantize(int8, data=calib)",
    "cast(fp16)",
    "sparsify(data=calib)",
    "remove_dead_channels",
)


def whole(random: Random, *, lossy: bool) -> tuple[onnx.ModelProto, Any, str]:
    """A model, samples for it, and a recipe: of exact steps, or with lossy ones behind them."""
    net = Net(random)
    for _ in range(random.randrange(2, 7)):
        net.grow()
    if random.random() < 0.6 and len(net.shapes[net.last]) == 3:
        head(net, net.last)
    steps = random.sample(EXACT, random.randrange(1, len(EXACT) + 1))
    if lossy:
        steps = [each for each in steps if not each.startswith("set_batch")]
        steps += random.sample(LOSSY, random.choice((1, 1, 2)))
    lines = ['use "vggc:rules/all.opt"'] if "optimize" in steps else []
    if lossy or random.random() < 0.3:
        lines.append('data calib = npz("calib.npz")')
    return net.model(), net.samples(), "\n".join([*lines, "", *steps, "target onnx", ""])


def problem(folder: Path, *, lossy: bool) -> str:
    """What is wrong with the model a compile has written; empty where nothing is."""
    inputs = np.load(folder / "calib.npz")["x"][:2]
    before, after = (_outputs(folder / path, inputs) for path in ("model.onnx", "out/model.onnx"))
    for old, new in zip(before, after, strict=True):
        if old.shape != new.shape or old.dtype != new.dtype:
            return f"{old.dtype} {old.shape} became {new.dtype} {new.shape}"
        if np.isfinite(old).all() and not np.isfinite(new).all():
            return "numbers became NaN or infinite"
        error = float(np.abs(old - new).max(initial=0)) / max(1e-3, float(np.abs(old).max(initial=0)))
        if not lossy and error > _TOLERANCE:
            return f"an exact recipe moved an output by {error:.1e}"
    return ""


def _outputs(path: Path, inputs: Any) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"x": inputs}))
