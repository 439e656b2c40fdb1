"""Compute intermediate values of a model, as many at a time as fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.execution.batching import run
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds

_CHUNK_BYTES = 256 << 20
_UNKNOWN_BYTES = 16 << 20


def variables(graph: Graph) -> dict[str, gs.Variable]:
    """The names of the values that the nodes of a graph compute, in order."""
    return {value.name: value for node in graph.nodes for value in node.outputs if value.name}


def in_chunks(graph: Graph, names: Sequence[str], feed: Feeds) -> Iterator[list[str]]:
    """The names in order, in lists whose values take about 256 MB for a feed; constants count as nothing.

    The shapes of the graph must have been inferred; a value of unknown shape counts as 16 MB.
    """
    computed = variables(graph)
    sizes = _symbols(graph, feed)
    chunk: list[str] = []
    held = 0
    for name in names:
        size = _bytes(graph, computed[name], sizes) if name in computed else 0
        if chunk and held + size > _CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
        chunk.append(name)
        held += size
    if chunk:
        yield chunk


def fetch(graph: Graph, names: Sequence[str], feed: Feeds) -> dict[str, Any]:
    """The named values of a graph: constants are read, the others computed. Names that it does not have are left out.

    Raises CompileError when the model does not run on the feed.
    """
    computed = variables(graph)
    wanted = [name for name in names if name in computed]
    asked = set(names)
    values = {value.name: graph.array(value) for value in graph.constants() if value.name in asked}
    if wanted:
        values.update(run(Session(graph, wanted), feed))
    return {name: array for name, array in values.items() if array is not None}


def _symbols(graph: Graph, feed: Feeds) -> dict[str, int]:
    """The sizes that the symbols of the input shapes have for a feed."""
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        if value.name in feed:
            pairs = zip(graph.shape(value) or (), feed[value.name].shape, strict=False)
            sizes.update({symbol: size for symbol, size in pairs if isinstance(symbol, str)})
    return sizes


def _bytes(graph: Graph, value: gs.Tensor, sizes: dict[str, int]) -> int:
    shape, dtype = graph.shape(value), graph.dtype(value)
    if shape is None or dtype is None:
        return _UNKNOWN_BYTES
    known = [sizes.get(each) if isinstance(each, str) else each for each in shape]
    if any(each is None for each in known):
        return _UNKNOWN_BYTES
    return int(np.prod([each for each in known if each is not None], dtype=object)) * dtype.itemsize
