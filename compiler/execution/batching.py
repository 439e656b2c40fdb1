"""Run a model with a fixed batch size on any number of samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggc.execution.session import Session
from vggc.graph.arrays import Feeds
from vggc.graph.signature import fixed_batch


def run(session: Session, feed: Feeds) -> dict[str, Any]:
    """The outputs of a model by name. Arrays of the feed that the model has no input for are left out.

    When the first dimension of the model's inputs is fixed and differs from that of the feed, the model runs on pieces
    of that many samples, the last one filled up with the first samples, and the results are concatenated.

    Raises CompileError when the feed does not fit the model, or a node fails.
    """
    taken = {each.name: feed[each.name] for each in session.inputs if each.name in feed}
    size = fixed_batch(session.inputs)
    counts = {array.shape[0] if array.ndim else None for array in taken.values()}
    count = counts.pop() if len(counts) == 1 else None
    if size is None or count is None or count == size:
        return session.run(taken)
    pieces = []
    for start in range(0, count, size):
        rows = np.arange(start, start + size) % count
        pieces.append(session.run({name: array[rows] for name, array in taken.items()}))
    return {name: _joined([each[name] for each in pieces], size, count) for name in session.outputs}


def _joined(parts: list[Any], size: int, count: int) -> Any:
    if all(isinstance(each, np.ndarray) and each.ndim and each.shape[0] == size for each in parts):
        return np.concatenate(parts)[:count]
    return parts[0]
