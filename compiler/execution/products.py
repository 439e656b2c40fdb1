"""How many threads a product of matrices by numpy has: one for a small product, all for a large one.

The threads of the library under numpy wait for their next part busily, some hundredths of a second after each product
and within it. Where products are small and follow each other, a second thread takes a quarter more CPU time and saves
hardly any time by the clock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from threadpoolctl import ThreadpoolController

_LARGE = 8e9
"""Multiplications from which on a product is worth more than one thread: a tenth of a second of one, and more."""


class _Libraries:
    """The libraries of linear algebra in this process, and how many threads they have; the number is of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: list[Any] = []
        self._before: list[int] = []
        self._small = 0
        self._large = 0

    @contextmanager
    def small(self) -> Iterator[None]:
        """See `small_products`."""
        with self._lock:
            if not self._small:
                # Those that are loaded by now: numpy's, and scipy's where something uses it.
                self._found = ThreadpoolController().select(user_api="blas").lib_controllers
                self._before = [each.num_threads for each in self._found]
            self._small += 1
            self._set()
        try:
            yield
        finally:
            with self._lock:
                self._small -= 1
                self._set()
                if not self._small:
                    self._found, self._before = [], []

    @contextmanager
    def large(self) -> Iterator[None]:
        """See `large_product`."""
        with self._lock:
            self._large += 1
            self._set()
        try:
            yield
        finally:
            with self._lock:
                self._large -= 1
                self._set()

    def _set(self) -> None:
        for library, before in zip(self._found, self._before, strict=True):
            library.set_num_threads(before if self._large or not self._small else 1)


_libraries = _Libraries()


def small_products() -> AbstractContextManager[None]:
    """In this block numpy uses one thread for a product or a factorization, except in `large_product`."""
    return _libraries.small()


def large_product(multiplications: float) -> AbstractContextManager[None]:
    """In this block numpy uses all its threads, if so many multiplications are worth it."""
    return _libraries.large() if multiplications >= _LARGE else nullcontext()
