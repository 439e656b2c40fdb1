"""ResNet-50 with seeded weights, for costs: its batch norms have the statistics of given pictures.

Nets of other widths and for pictures of other sizes are made the same way.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WIDTH = 64
STAGES = ((3, 1), (4, 2), (6, 4), (3, 8))
"""Blocks of each stage, and their width as a multiple of WIDTH."""


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

    def model(self) -> onnx.ModelProto:
        x = self.add("Relu", [self.conv("input", (3, self.width, 7), 2, "stem")], "stem.relu")
        x = self.add("MaxPool", [x], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        inputs = self.width
        for stage, (blocks, multiple) in enumerate(STAGES):
            width = multiple * self.width
            for block in range(blocks):
                name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
                y = self.add("Relu", [self.conv(x, (inputs, width, 1), 1, f"{name}.1")], f"{name}.relu1")
                y = self.add("Relu", [self.conv(y, (width, width, 3), stride, f"{name}.2")], f"{name}.relu2")
                y = self.conv(y, (width, 4 * width, 1), 1, f"{name}.3")
                skip = x if block else self.conv(x, (inputs, 4 * width, 1), stride, f"{name}.down")
                x = self.add("Relu", [self.add("Add", [y, skip], f"{name}.sum")], f"{name}.relu")
                inputs = 4 * width
        x = self.add("Flatten", [self.add("GlobalAveragePool", [x], "pool")], "features")
        weights = self.weight("fc.weight", self.random.standard_normal((1000, inputs)) * 0.03)
        self.add("Gemm", [x, weights, self.weight("fc.bias", np.zeros(1000))], "logits", transB=1)
        given = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, self.size, self.size])
        result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 1000])
        graph = helper.make_graph(self.nodes, "resnet50", [given], [result], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def make_resnet50(pictures: np.ndarray, path: Path, width: int = WIDTH) -> None:
    """Write the model; `pictures` (samples, 3, size, size) in float32 give the statistics."""
    size = pictures.shape[-1]
    probe = _Net(None, size, width)
    model = probe.model()
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in probe.statistics)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(probe.statistics, {"input": pictures})
    onnx.save(_Net(dict(zip(probe.statistics, found, strict=True)), size, width).model(), path)
