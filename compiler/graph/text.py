"""A graph as text, one node a line, large constants by type and shape only.

conv1_out: float32[batch,32,8,8] = Conv(image, w: float32[32,1,3,3]) {pads=[1, 1, 1, 1]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs

if TYPE_CHECKING:
    from vggc.graph.graph import Graph

_SHORT = 8
"""Constants of at most this many numbers are written out: axes, shapes and limits."""


def graph_text(graph: Graph) -> str:
    """Inputs, nodes in order with their attributes, and outputs."""
    lines = [f"input {_typed(graph, value)}" for value in graph.inputs]
    for node in graph.nodes:
        results = ", ".join(_typed(graph, value) for value in node.outputs if value.name)
        arguments = ", ".join(_argument(graph, value) for value in node.inputs)
        attributes = ", ".join(f"{name}={attribute_text(each)}" for name, each in node.attrs.items())
        domain = f"{node.domain}." if node.domain else ""
        lines.append(f"{results} = {domain}{node.op}({arguments})" + (f" {{{attributes}}}" if attributes else ""))
    lines += [f"output {value.name}" for value in graph.outputs]
    return "\n".join(lines)


def _typed(graph: Graph, value: gs.Tensor) -> str:
    dtype, shape = graph.dtype(value), graph.shape(value)
    dimensions = "[...]" if shape is None else f"[{','.join('?' if each is None else str(each) for each in shape)}]"
    return f"{value.name}: {dtype if dtype is not None else '?'}{dimensions}"


def _argument(graph: Graph, value: gs.Tensor) -> str:
    if not isinstance(value, gs.Constant):
        return str(value.name) or "-"
    if value.shape is not None and int(np.prod(value.shape, dtype=np.int64)) <= _SHORT:
        numbers = graph.array(value)
        if numbers is not None:
            return str(numbers.tolist())
    return _typed(graph, value)


def attribute_text(attribute: Any) -> str:
    """An attribute in messages; a body and a constant by their size only."""
    if isinstance(attribute, gs.Graph):
        return f"a body of {len(attribute.nodes)} nodes"
    if isinstance(attribute, gs.Tensor):
        return f"a constant of shape {list(attribute.shape or ())}"
    return attribute.decode("utf-8", "backslashreplace") if isinstance(attribute, bytes) else str(attribute)
