"""Arrays by what they hold, for annotations."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Numbers of any type, truth values or texts."""

Floats = NDArray[np.floating[Any]]
Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]

_FLOATS = frozenset(np.dtype(each) for each in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64))


def is_float(dtype: np.dtype[Any]) -> bool:
    """float16, bfloat16, float32 or float64: the types whose arithmetic may be rearranged up to rounding."""
    return dtype in _FLOATS
