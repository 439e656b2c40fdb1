"""The limits of the types that a model stores quantized numbers in."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from vggc.execution.array_distance import has_fractions


def limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The least and the largest number of a type."""
    about: Any = ml_dtypes.finfo if has_fractions(dtype) else ml_dtypes.iinfo
    found = about(dtype)
    return float(found.min), float(found.max)
