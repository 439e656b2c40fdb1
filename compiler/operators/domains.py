"""Whose operator a node is."""

from __future__ import annotations

import onnx_graphsurgeon as gs


def is_standard(node: gs.Node) -> bool:
    """Whether a node's operator is one of ONNX's own."""
    return node.domain in (None, "", "ai.onnx")
