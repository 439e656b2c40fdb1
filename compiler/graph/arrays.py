"""Arrays by what they hold, and their shapes, for annotations; docstrings say which shape an array has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Numbers of any type, truth values or texts."""

Floats = NDArray[np.floating[Any]]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

Entries = NDArray[np.object_]
"""What is known of each of some integers: its number, the name of the dimension that it is, or None."""

Size = int | str | None
"""A dimension: a number; a name, where two of one name are equal; or None where nothing is known of it."""

Dimensions = list[Size]
"""A shape, as far as it is known."""

Feeds = Mapping[str, Array]
"""What a model is run on: an array for each input, by its name."""

_FLOATS = frozenset(np.dtype(each) for each in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64))


def is_float(dtype: np.dtype[Any]) -> bool:
    """float16, bfloat16, float32 or float64: the types whose arithmetic may be rearranged up to rounding."""
    return dtype in _FLOATS
