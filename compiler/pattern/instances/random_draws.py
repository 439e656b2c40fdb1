"""Seeded random choices of shapes, types and numbers, with those on which rules often fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from vggc.graph.arrays import Array
from vggc.pattern.numbers import kind_of

T = TypeVar("T")
Shape = tuple[int, ...]

_RANKS = (0, 1, 2, 3, 4, 5)
_RANK_WEIGHTS = (0.03, 0.1, 0.22, 0.2, 0.35, 0.1)
_SIZES = (1, 2, 3, 4, 5, 6, 8)
_SIZE_WEIGHTS = (0.16, 0.22, 0.2, 0.2, 0.08, 0.08, 0.06)
_NUMBERS = (0.0, 1.0, -1.0, 0.5, 2.0, 6.0)
_LARGEST_SIZE = 64
_BESIDE = (("same", "scalar", "channel", "trailing", "ones", "larger"), (0.4, 0.15, 0.2, 0.1, 0.1, 0.05))


class Draw:
    """A source of choices for one instance. `numbers` are those that the rule itself writes: they come up often."""

    def __init__(self, seed: Sequence[int], numbers: Sequence[float]) -> None:
        self._random = np.random.default_rng(seed)
        self._numbers = tuple(numbers)
        self._sizes = tuple(int(each) for each in numbers if 1 <= each <= _LARGEST_SIZE and float(each).is_integer())
        self.float = np.dtype(self.one_of(("float32", "float64", "float16"), (0.7, 0.15, 0.15)))
        self.rank = self.one_of(_RANKS, _RANK_WEIGHTS)
        self._base: dict[int, Shape] = {}

    def chance(self, share: float) -> bool:
        return bool(self._random.random() < share)

    def one_of(self, choices: Sequence[T], weights: Sequence[float] | None = None) -> T:
        return choices[int(self._random.choice(len(choices), p=weights))]

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self._random.integers(low, high + 1))

    def some(self, choices: Sequence[T], least: int = 1) -> list[T]:
        """Some of the choices, in their order."""
        count = self.whole(min(least, len(choices)), len(choices))
        at = sorted(self._random.permutation(len(choices))[:count].tolist())
        return [choices[each] for each in at]

    def order(self, count: int) -> list[int]:
        return [int(each) for each in self._random.permutation(count)]

    def size(self) -> int:
        """A dimension."""
        if self._sizes and self.chance(0.3):
            return self.one_of(self._sizes)
        return self.one_of(_SIZES, _SIZE_WEIGHTS)

    def shape(self, rank: int | None = None) -> Shape:
        """A shape; most of those of one rank are the same in one instance, for values have to fit together."""
        rank = self.rank if rank is None else rank
        if rank not in self._base:
            self._base[rank] = tuple(self.size() for _ in range(rank))
            return self._base[rank]
        return self._base[rank] if self.chance(0.8) else tuple(self.size() for _ in range(rank))

    def remember(self, shape: Shape) -> None:
        """Make a shape the usual one of its rank."""
        self._base[len(shape)] = shape

    @property
    def usual(self) -> list[Shape]:
        """The shapes that values of this instance most often have, one a rank."""
        return list(self._base.values())

    def number(self) -> float:
        """A number that the rule writes, or another that means something special."""
        return float(self.one_of(self._numbers if self._numbers and self.chance(0.6) else _NUMBERS))

    def beside(self, shape: Shape) -> Shape:
        """A shape that combines with another one element by element."""
        kind = self.one_of(*_BESIDE)
        if kind == "same" or not shape:
            return shape
        if kind == "scalar":
            return () if self.chance(0.6) else (1,) * self.whole(1, len(shape))
        if kind == "channel":
            at = 1 if len(shape) > 1 else 0
            channels = tuple(size if axis == at else 1 for axis, size in enumerate(shape))
            return channels if self.chance(0.5) else channels[at:]
        if kind == "trailing":
            return shape[self.whole(0, len(shape) - 1) :]
        if kind == "ones":
            return tuple(1 if self.chance(0.5) else size for size in shape)
        return tuple(self.size() if size == 1 else size for size in shape)

    def array(self, shape: Shape, dtype: np.dtype[Any], fill: str = "any") -> Array:
        """Numbers: `positive`, `small` whole ones (indices), `weights`, or `any`: also all equal, and special ones."""
        kind = kind_of(dtype)
        if kind == "b":
            return self._random.integers(0, 2, shape).astype(np.bool_)
        if fill == "any":
            fill = self.one_of(("weights", "equal", "positive"), (0.45, 0.35, 0.2))
        if fill == "equal":
            with np.errstate(all="ignore"):
                return np.full(shape, self.number()).astype(dtype)
        if kind == "i":
            return self._random.integers(0 if fill == "small" else -4, 5, shape).astype(dtype)
        normal = self._random.standard_normal(shape)
        if fill == "positive":
            normal = np.abs(normal) + 0.5
        return normal.astype(dtype)
