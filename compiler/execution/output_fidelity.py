"""How near the outputs of one model are to those of another on the same samples, gathered batch by batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vggc.execution.array_distance import has_fractions, same_class
from vggc.graph.arrays import Float64

_LEAST = -200.0


@dataclass(frozen=True)
class OutputFidelity:
    """One output beside the same output of the model as read.

    cosine     of the two, both as one long vector; 1 where both are zero
    sqnr       signal to noise, 10 log10(sum a² / sum (a - b)²), in dB, at least -200; None where nothing differs
    agreement  the share of samples whose largest number stands at the same place; None unless (samples, classes)
    """

    name: str
    cosine: float
    sqnr: float | None
    agreement: float | None

    def texts(self) -> tuple[str, str, str]:
        """Agreement, cosine and SQNR as a person reads them."""
        agreement = "" if self.agreement is None else f"{100 * self.agreement:.2f} %"
        return agreement, f"{self.cosine:.5f}", "nothing differs" if self.sqnr is None else f"{self.sqnr:.1f} dB"


class Fidelities:
    """Sums over samples, from which each output's fidelity follows; only outputs of floats count."""

    def __init__(self) -> None:
        self._sums: dict[str, Float64] = {}
        self._rows: dict[str, tuple[int, int]] = {}

    def add(self, name: str, expected: Any, got: Any) -> None:
        """What both models computed for one output on one batch, arrays of the same shape."""
        if not isinstance(expected, np.ndarray) or not isinstance(got, np.ndarray):
            return
        if not has_fractions(expected.dtype) or expected.shape != got.shape or not expected.size:
            return
        old, new = (array.reshape(-1).astype(np.float64) for array in (expected, got))
        # What is infinite or NaN in both says nothing of how near they are; in one of them it is as far as can be.
        both = np.isfinite(old) | np.isfinite(new)
        old, new = old[both], new[both]
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.array([old @ old, new @ new, old @ new, np.square(old - new).sum()])
        self._sums[name] = self._sums.get(name, np.zeros(4)) + sums
        if expected.ndim == 2 and expected.shape[1] > 1:
            same = same_class(expected, got)
            right, rows = self._rows.get(name, (0, 0))
            self._rows[name] = right + int(np.count_nonzero(same)), rows + same.size

    def add_all(self, expected: Mapping[str, Any], got: Mapping[str, Any]) -> None:
        """All outputs of both models on one batch."""
        for name, numbers in expected.items():
            self.add(name, numbers, got.get(name))

    def outputs(self) -> tuple[OutputFidelity, ...]:
        return tuple(self._of(name) for name in self._sums)

    def _of(self, name: str) -> OutputFidelity:
        signal, other, product, noise = self._sums[name].tolist()
        right, rows = self._rows.get(name, (0, 0))
        agreement = right / rows if rows else None
        if not all(map(math.isfinite, (signal, other, product, noise))):
            return OutputFidelity(name, 0.0, _LEAST, agreement)
        length = math.sqrt(signal) * math.sqrt(other)
        cosine = product / length if length else float(signal == other)
        return OutputFidelity(name, min(1.0, cosine), _decibel(signal, noise), agreement)


def _decibel(signal: float, noise: float) -> float | None:
    if noise == 0:
        return None
    return max(_LEAST, 10 * math.log10(signal / noise)) if signal else _LEAST
