"""ResNet-50 and VGG-16 with seeded weights, for costs: their batch norms have the statistics of given pictures.

Nets of other widths and for pictures of other sizes are made the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WIDTH = 64
STAGES = ((3, 1), (4, 2), (6, 4), (3, 8))
VGG_STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
"""Blocks (convolutions) of each stage, and their width as a multiple of WIDTH."""

CLASSES = 1000


class _Net:
    """Nodes and weights; with `statistics` batch norms use those of the batch, and these are outputs."""

    def __init__(self, norms: dict[str, np.ndarray] | None, size: int, width: int) -> None:
        self.size = size
        self.width = width
        self.random = np.random.default_rng(0)
        self.norms = norms
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.statistics: list[str] = []

    def add(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def weight(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def norm(self, x: str, channels: int, name: str) -> str:
        scale = self.weight(f"{name}.weight", self.random.uniform(0.5, 1.5, channels))
        shift = self.weight(f"{name}.bias", self.random.normal(0, 0.3, channels))
        statistics = [f"{name}.mean", f"{name}.var"]
        if self.norms is not None:
            for each in statistics:
                self.weight(each, self.norms[each])
        else:
            # The variance of a batch is the mean of the squares minus the square of the mean.
            self.add("ReduceMean", [x], f"{name}.mean4", axes=[0, 2, 3])
            self.add("Sub", [x, f"{name}.mean4"], f"{name}.centred")
            self.add("Mul", [f"{name}.centred", f"{name}.centred"], f"{name}.squares")
            self.add("ReduceMean", [f"{name}.squares"], f"{name}.var", axes=[0, 2, 3], keepdims=0)
            self.add("ReduceMean", [x], f"{name}.mean", axes=[0, 2, 3], keepdims=0)
            self.statistics += statistics
        return self.add("BatchNormalization", [x, scale, shift, *statistics], f"{name}.out", epsilon=1e-5)

    def conv(self, x: str, shape: tuple[int, int, int], stride: int, name: str) -> str:
        inputs, outputs, kernel = shape
        spread = np.sqrt(2 / (inputs * kernel * kernel))
        weights = self.weight(name, self.random.standard_normal((outputs, inputs, kernel, kernel)) * spread)
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        return self.norm(self.add("Conv", [x, weights], f"{name}.conv", **attributes), outputs, f"{name}.bn")

    def dense(self, x: str, inputs: int, outputs: int, name: str) -> str:
        weights = self.weight(f"{name}.weight", self.random.standard_normal((outputs, inputs)) * inputs**-0.5)
        bias = self.weight(f"{name}.bias", np.zeros(outputs))
        return self.add("Gemm", [x, weights, bias], "logits" if outputs == CLASSES else name, transB=1)

    def model(self, name: str) -> onnx.ModelProto:
        given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, self.size, self.size])
        result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES])
        graph = helper.make_graph(self.nodes, name, [given], [result], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _resnet50(net: _Net) -> None:
    """He et al. 2015."""
    x = net.add("Relu", [net.conv("input", (3, net.width, 7), 2, "stem")], "stem.relu")
    x = net.add("MaxPool", [x], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    inputs = net.width
    for stage, (blocks, multiple) in enumerate(STAGES):
        width = multiple * net.width
        for block in range(blocks):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            y = net.add("Relu", [net.conv(x, (inputs, width, 1), 1, f"{name}.1")], f"{name}.relu1")
            y = net.add("Relu", [net.conv(y, (width, width, 3), stride, f"{name}.2")], f"{name}.relu2")
            y = net.conv(y, (width, 4 * width, 1), 1, f"{name}.3")
            skip = x if block else net.conv(x, (inputs, 4 * width, 1), stride, f"{name}.down")
            x = net.add("Relu", [net.add("Add", [y, skip], f"{name}.sum")], f"{name}.relu")
            inputs = 4 * width
    net.dense(net.add("Flatten", [net.add("GlobalAveragePool", [x], "pool")], "features"), inputs, CLASSES, "fc")


def _vgg16(net: _Net) -> None:
    """Simonyan and Zisserman 2014, with batch norms: 138 M parameters for pictures of 224x224."""
    x, inputs, size = "input", 3, net.size
    for stage, (convolutions, multiple) in enumerate(VGG_STAGES):
        for index in range(convolutions):
            name = f"block{stage + 1}.{index + 1}"
            x = net.add("Relu", [net.conv(x, (inputs, multiple * net.width, 3), 1, name)], f"{name}.relu")
            inputs = multiple * net.width
        x = net.add("MaxPool", [x], f"block{stage + 1}.pool", kernel_shape=[2, 2], strides=[2, 2])
        size //= 2
    x, hidden = net.add("Flatten", [x], "features"), 64 * net.width
    for name, width in (("fc1", inputs * size * size), ("fc2", hidden)):
        x = net.add("Relu", [net.dense(x, width, hidden, name)], f"{name}.relu")
    net.dense(x, hidden, CLASSES, "fc3")


NETS: dict[str, Callable[[_Net], None]] = {"resnet50": _resnet50, "vgg16": _vgg16}


def make_net(name: str, pictures: np.ndarray, path: Path, width: int = WIDTH) -> None:
    """Write one of NETS; `pictures` (samples, 3, size, size) in float32 give the statistics."""
    size = pictures.shape[-1]

    def made(norms: dict[str, np.ndarray] | None) -> tuple[onnx.ModelProto, list[str]]:
        net = _Net(norms, size, width)
        NETS[name](net)
        return net.model(name), net.statistics

    model, statistics = made(None)
    model.graph.output.extend(onnx.ValueInfoProto(name=each) for each in statistics)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(statistics, {"input": pictures})
    onnx.save(made(dict(zip(statistics, found, strict=True)))[0], path)
