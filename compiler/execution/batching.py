"""Running a model of one fixed batch size on more samples, or fewer."""

from __future__ import annotations

from typing import Any

import numpy as np

from vggc.execution.session import Session
from vggc.graph.arrays import Feeds
from vggc.graph.signature import fixed_batch


def run(session: Session, feed: Feeds) -> dict[str, Any]:
    """What a model computes of a feed, of which it takes what it has inputs for: its outputs by name.

    Where the model's inputs have another, fixed first dimension than the feed's arrays, it runs on pieces of that
    many samples, the last one filled up with the first samples; what it computes sample by sample is put together.

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
