"""Constants that hold the same numbers."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph import StoredWeights
from vggc.graph.writer import onnx_type

SMALL = 4096
"""Constants of at most this many bytes are compared as they are met."""

_SAMPLE = 16
"""Elements at either end by which large constants are told apart, before they are compared as a whole."""


class SameConstants:
    """Finds the first of several equal constants.

    Small ones are compared by their bytes, large ones only where they were computed and are in memory: weights that
    stand in a file stay unread.
    """

    def __init__(self) -> None:
        self._first: dict[Hashable, gs.Constant] = {}
        self._alone: dict[Hashable, gs.Constant] = {}
        # By id, with the constant itself: while it is held here, no other object gets its id.
        self._known: dict[int, tuple[gs.Constant, gs.Constant]] = {}

    def first(self, value: gs.Constant) -> tuple[gs.Constant, bool]:
        """The first constant met that equals this one, and whether this one is met for the first time."""
        if id(value) in self._known:
            return self._known[id(value)][1], False
        key = constant_key(value)
        first = self._large(value) if key is None else self._first.setdefault(key, value)
        self._known[id(value)] = (value, first)
        return first, True

    def _large(self, value: gs.Constant) -> gs.Constant:
        kind = _kind(value)
        if kind is None:
            return value
        other = self._alone.setdefault(kind, value)
        if other is value:
            return value
        # The first of a kind is looked into when there is a second one.
        self._first.setdefault((kind, _sample(other)), other)
        first = self._first.setdefault((kind, _sample(value)), value)
        return first if first is value or _bytes_equal(first, value) else value


def constant_key(value: gs.Constant) -> Hashable:
    """Type, shape and bytes of a small constant; None for any other."""
    held = value._values
    if isinstance(held, StoredWeights):
        if held.nbytes > SMALL or held.dtype == object:
            return None
        if held.extent is None and held.tensor.HasField("raw_data"):
            return held.tensor.data_type, tuple(held.shape), held.tensor.raw_data
        held = value.values
    if not isinstance(held, np.ndarray) or held.nbytes > SMALL or held.dtype == object:
        return None
    return onnx_type(held.dtype), held.shape, held.tobytes()


def _kind(value: gs.Constant) -> Hashable:
    """Type and shape of a large constant that is in memory; None for any other."""
    held = value._values
    if isinstance(held, np.ndarray) and held.dtype != object:
        return onnx_type(held.dtype), held.shape
    return None


def _sample(value: gs.Constant) -> bytes:
    """The bytes at either end."""
    flat = value.values.reshape(-1)
    return bytes(flat[:_SAMPLE].tobytes() + flat[-_SAMPLE:].tobytes())


def _bytes_equal(one: gs.Constant, other: gs.Constant) -> bool:
    # As bytes: a negative zero is no zero, and a NaN equals itself.
    first, second = (np.ascontiguousarray(each.values).reshape(-1).view(np.uint8) for each in (one, other))
    return bool(np.array_equal(first, second))
