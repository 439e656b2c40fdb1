"""Whose operator a node is. ONNX's own domain has two spellings, "" and "ai.onnx"; graphsurgeon also has None."""

from __future__ import annotations

import onnx
import onnx_graphsurgeon as gs


def domain_of(domain: str | None) -> str:
    """A domain in its one spelling: "" for ONNX's own."""
    return "" if domain in (None, "ai.onnx") else str(domain)


def is_standard(node: gs.Node | onnx.NodeProto) -> bool:
    """Whether a node's operator is one of ONNX's own."""
    return node.domain in (None, "", "ai.onnx")
