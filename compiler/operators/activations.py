"""Activations: functions that are applied to each number by itself, usually behind a product.

To add one, add an entry to ACTIVATIONS. Every list of activations elsewhere is derived from that table:

    the channel sweep                       `operands`
    ranges                                  `function`, `lowest_at`
    folding of batch norms, equalization    `homogeneous`
    repair after pruning                    `saturates`
    placement for onnxruntime               `clamps`, `integer_kernel`
    placement for TensorRT, its verifier    `tensorrt`

tests/operators/test_activations.py compares what an entry states with what onnxruntime computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.arrays import Float64
from vggc.graph.domains import is_standard
from vggc.operators.roles import optional_input

Limits = tuple[float, float]

UNLIMITED: Limits = (-np.inf, np.inf)


@dataclass(frozen=True)
class Activation:
    """Facts about y = f(x). A default says that a fact does not hold, or that nobody has checked it.

    operands        where the parameters are: in attributes, in single numbers, or in a tensor that broadcasts to x
    homogeneous     whether f(k * x) = k * f(x) for every k > 0
    function        f, to find bounds of y: (node, x) -> y, both of one shape. x may be infinite. It is not called for a
                    node whose `alpha` is negative
    lowest_at       f falls up to this x and rises from there; None where f never falls
    saturates       the limits of x beyond which y does not change any more; None where the graph computes them
    clamps          whether y = x between these limits
    tensorrt        whether TensorRT computes f in the kernel of the product before it: see fusion.py
    integer_kernel  whether onnxruntime's CPU provider has a kernel of f for 8-bit integers
    """

    operands: Literal["attributes", "scalars", "tensor"] = "attributes"
    homogeneous: bool = False
    function: Callable[[gs.Node, Float64], Float64] | None = None
    lowest_at: float | None = None
    saturates: Callable[[Graph, gs.Node], Limits | None] = lambda graph, node: UNLIMITED
    clamps: bool = False
    tensorrt: bool = False
    integer_kernel: bool = False


BOUNDED = frozenset({"Erf", "HardSigmoid", "Sigmoid", "Softmax", "Softsign", "Tanh"})
"""Functions of one input whose results lie within -1 and 1, whatever the input."""


def _clip_limits(graph: Graph, node: gs.Node) -> Limits | None:
    limits = []
    for index, name, unlimited in ((1, "min", -np.inf), (2, "max", np.inf)):
        value = optional_input(node, index)
        array = np.asarray(node.attrs.get(name, unlimited)) if value is None else graph.array(value)
        if array is None:
            return None
        limits.append(float(array.reshape(-1)[0]))
    return limits[0], limits[1]


def _hard_sigmoid_limits(graph: Graph, node: gs.Node) -> Limits:
    alpha, beta = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
    return (-beta / alpha, (1 - beta) / alpha) if alpha > 0 else UNLIMITED


def _elu(node: gs.Node, x: Float64) -> Float64:
    return np.where(x > 0, x, node.attrs.get("alpha", 1.0) * np.expm1(np.minimum(x, 0)))


def _hard_sigmoid(node: gs.Node, x: Float64) -> Float64:
    return np.asarray(np.clip(node.attrs.get("alpha", 0.2) * x + node.attrs.get("beta", 0.5), 0, 1))


def _hard_swish(node: gs.Node, x: Float64) -> Float64:
    return np.where(x <= -3, 0.0, np.maximum(x, -3) * np.clip(x / 6 + 0.5, 0, 1))


def _selu(node: gs.Node, x: Float64) -> Float64:
    alpha, gamma = node.attrs.get("alpha", 1.6732632423543772), node.attrs.get("gamma", 1.0507009873554805)
    return np.asarray(gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


ACTIVATIONS: dict[str, Activation] = {
    "Celu": Activation(tensorrt=True),
    "Clip": Activation(operands="scalars", saturates=_clip_limits, clamps=True, tensorrt=True),
    "Elu": Activation(function=_elu, tensorrt=True),
    "Gelu": Activation(tensorrt=True),
    "HardSigmoid": Activation(function=_hard_sigmoid, saturates=_hard_sigmoid_limits, tensorrt=True),
    "HardSwish": Activation(function=_hard_swish, lowest_at=-1.5, tensorrt=True),
    "LeakyRelu": Activation(
        homogeneous=True,
        function=lambda node, x: np.where(x > 0, x, node.attrs.get("alpha", 0.01) * x),
        tensorrt=True,
        integer_kernel=True,
    ),
    "Mish": Activation(tensorrt=True),
    "PRelu": Activation(operands="tensor", homogeneous=True, tensorrt=True),
    "Relu": Activation(
        homogeneous=True,
        function=lambda node, x: np.maximum(x, 0),
        saturates=lambda graph, node: (0.0, np.inf),
        clamps=True,
        tensorrt=True,
    ),
    "Selu": Activation(function=_selu, tensorrt=True),
    "Shrink": Activation(),
    "Sigmoid": Activation(function=lambda node, x: 1 / (1 + np.exp(-x)), tensorrt=True, integer_kernel=True),
    "Softplus": Activation(function=lambda node, x: np.logaddexp(0, x), tensorrt=True),
    "Softsign": Activation(tensorrt=True),
    "Swish": Activation(tensorrt=True),
    "Tanh": Activation(function=lambda node, x: np.tanh(x), tensorrt=True),
    "ThresholdedRelu": Activation(tensorrt=True),
}

SCALABLE = frozenset(op for op, each in ACTIVATIONS.items() if each.homogeneous and each.operands == "attributes")
"""Activations of one input that let a positive factor of a channel pass."""


def saturation(graph: Graph, node: gs.Node) -> Limits:
    """The limits beyond which a node's result does not change; infinite where there are none or they are not known."""
    activation = ACTIVATIONS.get(node.op) if is_standard(node) else None
    return (activation.saturates(graph, node) if activation else None) or UNLIMITED


def clamp_limits(graph: Graph, node: gs.Node) -> Limits | None:
    """The limits between which a Relu or Clip keeps its numbers; None for other nodes, and for computed limits."""
    activation = ACTIVATIONS.get(node.op) if is_standard(node) else None
    return activation.saturates(graph, node) if activation and activation.clamps else None
