"""Operators that draw random numbers: computed twice from the same inputs, they give two results.

Asked before a node is computed at compile time, becomes one with an equal node, or has its result bounded.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from vggc.graph.domains import is_standard
from vggc.operators.roles import optional_input

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def may_drop(node: gs.Node) -> bool:
    """Whether a node is a Dropout with an input that may put it into training mode (from opset 12 on)."""
    return node.op == "Dropout" and optional_input(node, 2) is not None


def is_deterministic(node: gs.Node) -> bool:
    """Whether a node is one of ONNX's own operators that computes the same from the same inputs, without a body."""
    return (
        is_standard(node)
        and node.op not in RANDOM
        and not may_drop(node)
        and not any(isinstance(attribute, gs.Graph) for attribute in node.attrs.values())
    )
