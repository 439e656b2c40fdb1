"""Arrays that are kept for later: in memory up to a limit, beyond it in temporary files."""

from __future__ import annotations

import math
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from vggc.graph.arrays import Array

MEMORY = 256 << 20
"""Bytes of arrays held in memory at a time."""


@dataclass(frozen=True)
class _Stored:
    """An array on disk: where it begins in the file of its key, in bytes."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Spill:
    """Holds lists of arrays by key. Use it in a `with` statement: its files go when it is left.

    Threads may use it at the same time, as long as each key is added to and dropped by one of them.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._room = memory
        self._lock = threading.Lock()
        self._held: dict[str, list[Array | _Stored]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: dict[str, Path] = {}
        self._made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.clear()
        self._files.clear()
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
        stays = isinstance(array, list) or array.dtype.kind == "O"
        with self._lock:
            stays = stays or _bytes(array) <= self._room
            self._room -= _bytes(array) if stays else 0
        if stays:
            place.append(array)
            return
        with self._file(key).open("ab") as file:
            place.append(_Stored(file.tell(), array.dtype, array.shape))
            array.tofile(file)

    def get(self, key: str, index: int) -> Array:
        """The array number `index` of a key, in the shape in which it was added."""
        found = self._held[key][index]
        if not isinstance(found, _Stored):
            return found
        count = math.prod(found.shape)
        return np.fromfile(self._files[key], found.dtype, count, offset=found.offset).reshape(found.shape)

    def drop(self, key: str) -> None:
        """Forget the arrays of a key."""
        freed = sum(_bytes(each) for each in self._held.pop(key) if not isinstance(each, _Stored))
        with self._lock:
            self._room += freed
        if key in self._files:
            self._files.pop(key).unlink()

    def _file(self, key: str) -> Path:
        """Where the arrays of a key are written one behind the other."""
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="vggc-")
            if key not in self._files:
                self._files[key] = Path(self._folder.name) / str(self._made)
                self._made += 1
            return self._files[key]


def _bytes(array: Array | list[Array]) -> int:
    return sum(each.nbytes for each in array) if isinstance(array, list) else array.nbytes
