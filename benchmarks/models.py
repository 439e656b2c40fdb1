"""Models for the benchmarks, made here: sizes that matter, weights at random from a fixed seed.

python benchmarks/models.py vgg16 vgg16.onnx
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


class Builder:
    """Collects the nodes and initializers of one model."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def weight(self, name: str, values: NDArray[np.float32]) -> str:
        self.initializers.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], f"{op}_{output}", **attributes))
        return output

    def conv_norm(self, value: str, index: int, channels_in: int, channels: int) -> str:
        """A 3x3 convolution of `value` and a batch norm; weights keep the signal's variance."""
        scale = (2 / (9 * channels_in)) ** 0.5
        shape = (channels, channels_in, 3, 3)
        weight = self.weight(f"w{index}", self.random.standard_normal(shape, dtype=np.float32) * scale)
        norm = [
            self.weight(f"{each}{index}", 0.8 + 0.3 * np.abs(self.random.standard_normal(channels, dtype=np.float32)))
            for each in ("scale", "shift", "mean", "var")
        ]
        conv = self.add("Conv", [value, weight], f"c{index}", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
        return self.add("BatchNormalization", [conv, *norm], f"n{index}")

    def save(self, path: Path, output: str, shape_in: list[int | str], shape_out: list[int | str]) -> Path:
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape_in)],
            [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape_out)],
            self.initializers,
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path


def vgg16(path: Path) -> Path:
    """VGG-16 with batch norms at ImageNet size: 138 M parameters, 553 MB."""
    build, value, channels = Builder(), "input", 3
    for index, width in enumerate(VGG16):
        if isinstance(width, str):
            value = build.add("MaxPool", [value], f"p{index}", kernel_shape=[2, 2], strides=[2, 2])
        else:
            value = build.add("Relu", [build.conv_norm(value, index, channels, width)], f"r{index}")
            channels = width
    value = build.add("Flatten", [value], "flat")
    for index, (wide, narrow) in enumerate(((25088, 4096), (4096, 4096), (4096, 1000))):
        values = build.random.standard_normal((narrow, wide), dtype=np.float32) * (2 / wide) ** 0.5
        bias = build.weight(f"fb{index}", np.zeros(narrow, np.float32))
        value = build.add("Gemm", [value, build.weight(f"fw{index}", values), bias], f"g{index}", transB=1)
        if index < 2:
            value = build.add("Relu", [value], f"gr{index}")
    return build.save(path, value, ["N", 3, 224, 224], ["N", 1000])


def chain(path: Path, nodes: int, channels: int = 8) -> Path:
    """`nodes` nodes in blocks of Conv, BatchNormalization, Relu, Identity and a residual Add."""
    build, value = Builder(), "input"
    for index in range(nodes // 5):
        norm = build.conv_norm(value, index, channels, channels)
        relu = build.add("Relu", [norm], f"r{index}")
        copy = build.add("Identity", [relu], f"i{index}")
        value = build.add("Add", [copy, value], f"a{index}")
    return build.save(path, value, ["N", channels, 8, 8], ["N", channels, 8, 8])


MODELS: dict[str, Callable[[Path], Path]] = {
    "vgg16": vgg16,
    "chain5000": lambda path: chain(path, 5_000),
    "chain20000": lambda path: chain(path, 20_000),
}

if __name__ == "__main__":
    MODELS[sys.argv[1]](Path(sys.argv[2]))
