"""Arrays that are kept for later: in memory up to a limit, beyond it in temporary files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from vggc.graph.arrays import Array

MEMORY = 256 << 20
"""Bytes of arrays held in memory at a time."""


class Spill:
    """Holds lists of arrays by key. Use it in a `with` statement: its files go when it is left."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._room = memory
        self._held: dict[str, list[Array | Path]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def keys(self) -> list[str]:
        return list(self._held)

    def add(self, key: str, array: Array) -> None:
        """Put one more array, of any shape, behind those of a key.

        What onnxruntime computes for a sequence, a list of arrays, stays in memory, and so do arrays of texts.
        """
        place = self._held.setdefault(key, [])
        if isinstance(array, list) or array.dtype.kind == "O" or array.nbytes <= self._room:
            self._room -= _bytes(array)
            place.append(array)
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="vggc-")
        path = Path(self._folder.name) / f"{self._files}.npy"
        self._files += 1
        np.save(path, array, allow_pickle=False)
        place.append(path)

    def get(self, key: str, index: int) -> Array:
        """The array number `index` of a key, in the shape in which it was added; read-only when it is on disk."""
        found = self._held[key][index]
        return np.load(found, mmap_mode="r", allow_pickle=False) if isinstance(found, Path) else found

    def drop(self, key: str) -> None:
        """Forget the arrays of a key."""
        for each in self._held.pop(key):
            if isinstance(each, Path):
                each.unlink()
            else:
                self._room += _bytes(each)


def _bytes(array: Array | list[Array]) -> int:
    return sum(each.nbytes for each in array) if isinstance(array, list) else array.nbytes
