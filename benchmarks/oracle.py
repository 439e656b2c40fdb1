"""What a model file computes, asked of onnxruntime alone: nothing of vggc is between the file's bytes and the numbers.

vggc's own checks read a model through vggc's graph, so a mistake in reading is the same on both sides of them. Here
both files are handed to onnxruntime as they are, without its optimisations.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Feeds = Mapping[str, Any]
"""Values by the names of a model's inputs: an array, a list of arrays (a sequence), a dict (a map), None (optional)."""

TOLERANCE = {"float32": 2e-5, "float64": 2e-5, "float16": 5e-3, "bfloat16": 4e-2}
"""Largest difference over largest magnitude that is rounding; of other floats (8 bits and fewer) one step is."""

_COARSE = 0.25
_FATAL_ONLY = 4
_ELEMENTS = {
    "float": np.float32,
    "double": np.float64,
    "bfloat16": ml_dtypes.bfloat16,
    "float8e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
    "float8e5m2": ml_dtypes.float8_e5m2,
    "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
}
_FOREIGN = ("bfloat16", "float8", "int4", "float4", "int2", "float6")
"""Element types that onnxruntime does not turn into numpy arrays by itself."""


class Oracle:
    """A model file in onnxruntime on the CPU. Raises onnxruntime's own exceptions, on loading and on running."""

    def __init__(self, model: Path, *, optimise: bool = False) -> None:
        onnxruntime.set_default_logger_severity(_FATAL_ONLY)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self.inputs = {each.name: each.type for each in self._session.get_inputs()}
        self.outputs = {each.name: each.type for each in self._session.get_outputs()}
        self.shapes = {each.name: each.shape for each in self._session.get_inputs()}

    def run(self, feeds: Feeds) -> dict[str, Any]:
        """The outputs by name, for inputs by name; inputs that the model does not have are left out."""
        given = {name: _given(feeds[name], kind) for name, kind in self.inputs.items() if name in feeds}
        names = list(self.outputs)
        if not any(_foreign(kind) for kind in self.outputs.values()):
            return dict(zip(names, self._session.run(names, given), strict=True))
        held = {name: _held(each) for name, each in given.items()}
        results = self._session.run_with_ort_values(names, held)
        return {name: _array(each) for name, each in zip(names, results, strict=True)}


def _foreign(kind: str) -> bool:
    return any(each in kind for each in _FOREIGN)


def _given(value: Any, kind: str) -> Any:
    """A value as onnxruntime takes it.

    Types that are packed, two INT4 to a byte, are handed over a byte each: other numbers than the test's, and the same
    ones for every model.
    """
    if isinstance(value, np.ndarray) and _foreign(kind):
        number = int(onnx.helper.np_dtype_to_tensor_dtype(value.dtype))
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(value), number)
    return value


def _held(value: Any) -> Any:
    return value if isinstance(value, onnxruntime.OrtValue) else onnxruntime.OrtValue.ortvalue_from_numpy(value)


def _array(value: Any) -> Any:
    """An output as an array; of types that are packed (two INT4 to a byte) the bytes."""
    if not value.is_tensor() or not _foreign(value.data_type()):
        return value.numpy()
    content = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    kind = value.data_type().removeprefix("tensor(").removesuffix(")")
    if kind not in _ELEMENTS:
        return np.frombuffer(content, np.uint8)
    return np.frombuffer(content, _ELEMENTS[kind]).reshape(value.shape())


def tolerance(*kinds: str) -> float:
    """What the coarsest float among values of these types (`tensor(float16)`) may differ by."""
    found = [TOLERANCE["float32"]]
    for kind in kinds:
        name = kind.split("(")[-1].rstrip(")")
        if name in ("float16", "bfloat16"):
            found.append(TOLERANCE[name])
        elif name.startswith(("float8", "float4", "float6")):
            found.append(_COARSE)
    return max(found)


def distance(expected: Any, got: Any) -> tuple[float, str]:
    """How far a value is from what it should be, and in words.

    For floats max|a - b| / max|a| over the finite numbers; infinite where shapes, types or the places of NaN and
    infinity differ, where anything else than a float differs, or where one is absent.
    """
    if isinstance(expected, np.ndarray) and isinstance(got, np.ndarray):
        return _arrays(expected, got)
    if isinstance(expected, Sequence) and not isinstance(expected, str) and isinstance(got, Sequence):
        if len(expected) != len(got):
            return math.inf, f"{len(expected)} items became {len(got)}"
        found = [distance(old, new) for old, new in zip(expected, got, strict=True)]
        return max(found, key=lambda each: each[0], default=(0.0, "equal"))
    if isinstance(expected, Mapping) and isinstance(got, Mapping) and expected.keys() == got.keys():
        return distance([expected[each] for each in expected], [got[each] for each in expected])
    if isinstance(expected, float | np.floating) and isinstance(got, float | np.floating):
        return _arrays(np.asarray(expected), np.asarray(got))
    same = expected is got or (type(expected) is type(got) and expected == got)
    return (0.0, "equal") if same else (math.inf, f"{type(expected).__name__} became {type(got).__name__}")


def _arrays(expected: NDArray[Any], got: NDArray[Any]) -> tuple[float, str]:
    if expected.shape != got.shape:
        return math.inf, f"shape {list(expected.shape)} became {list(got.shape)}"
    if expected.dtype != got.dtype:
        return math.inf, f"type {expected.dtype} became {got.dtype}"
    if expected.dtype.kind not in "fcV" or "int" in expected.dtype.name:
        count = int(np.count_nonzero(np.asarray(expected != got)))
        return (math.inf, f"{count} of {expected.size} elements differ") if count else (0.0, "equal")
    wide = np.complex128 if expected.dtype.kind == "c" else np.float64
    a, b = expected.astype(wide).reshape(-1), got.astype(wide).reshape(-1)
    finite = np.isfinite(a) & np.isfinite(b)
    if not (finite | (a == b) | (np.isnan(a) & np.isnan(b))).all():
        return math.inf, "NaN or infinity is in other places"
    if not finite.any():
        return 0.0, "equal"
    scale = float(np.abs(a[finite]).max())
    error = float(np.abs(a[finite] - b[finite]).max()) / (scale or 1.0)
    return error, f"relative error {error:.2g}" if error else "equal"


def moved(model: Path, feeds: Feeds, name: str, value: Any) -> float:
    """How far onnxruntime itself moves an output of a model from `value`, what it computed without optimisation.

    By its own optimisation; infinitely where the output is random. A rewrite that moves it as far is not to blame.
    """
    if distance(value, Oracle(model).run(feeds)[name])[0] > 0:
        return math.inf
    return distance(value, Oracle(model, optimise=True).run(feeds)[name])[0]
