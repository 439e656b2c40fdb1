"""Whether a model's weights are numbers at all, and whether it can be run on this machine."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, fail
from vggc.graph.arrays import Array
from vggc.graph.links import static_shape
from vggc.graph.weights import StoredWeights

_SMALL = 1024
"""Numbers of a constant that is looked at together with others, and how many of these at a time."""


def check_numbers(constants: Iterable[gs.Constant]) -> None:
    """Raise CompileError when a trained weight is NaN, naming the initializer and the place of the first one.

    Infinity is left alone: masks are written with it. Reads every weight once, a piece at a time.
    """
    floats = [(each, held) for each in constants if (held := _floats(each)) is not None]
    # Vectors of one number a channel are many; one look at all of them together finds that none is NaN.
    small = [held for _, held in floats if held.dtype == np.float32 and math.prod(held.shape) <= _SMALL]
    if _first_nan(_together(small)) is None:
        looked_at = {id(held) for held in small}
        floats = [(constant, held) for constant, held in floats if id(held) not in looked_at]
    for constant, held in floats:
        at = _first_nan(_pieces(held))
        if at is not None:
            index = ", ".join(str(each) for each in np.unravel_index(at, held.shape))
            raise fail(
                f"the weights of the model are not numbers: initializer `{constant.name}` is NaN at [{index}]",
                help="the training diverged or the file is damaged: export the model from a healthy checkpoint",
                code=Code.WEIGHTS_NOT_FINITE,
            )


def invalidity(model: Path) -> str:
    """Why onnx's full check refuses a model file, strict shape inference included; empty where it does not."""
    try:
        onnx.checker.check_model(str(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ""


def check_sizes(graph: gs.Graph) -> None:
    """Raise CompileError when a node's result, of a shape that is known, is larger than the memory of this machine.

    A model says in a few lines what no machine can compute; the system would end other programs for it.
    """
    memory = machine_memory()
    for node in graph.nodes if memory else ():
        for value in node.outputs:
            shape, dtype = static_shape(value), value.dtype
            if shape is None or not isinstance(dtype, np.dtype | type):
                continue
            size = math.prod(shape) * np.dtype(dtype).itemsize
            if size > memory:
                what = f"{node.op} `{node.name}`" if node.name else f"{node.op} of `{value.name}`"
                raise fail(
                    f"the model cannot be run here: the result of {what} takes {size >> 30} GiB, "
                    f"and this machine has {memory >> 30} GiB",
                    help="compile it with --verify off and without measuring it, or where there is more memory",
                    code=Code.MEMORY,
                )


def machine_memory() -> int:
    """Bytes of memory that this machine has; 0 where that is not told."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _floats(constant: gs.Constant) -> Array | StoredWeights | None:
    """The numbers of a dense constant of a floating type."""
    held = constant._values
    return held if isinstance(held, np.ndarray | StoredWeights) and _is_float(held.dtype) else None


def _together(constants: Sequence[Array | StoredWeights]) -> Iterator[Array]:
    """The numbers of many small constants in a few pieces."""
    for start in range(0, len(constants), _SMALL):
        yield np.concatenate([piece for each in constants[start : start + _SMALL] for piece in _pieces(each)])


def _is_float(dtype: np.dtype[np.generic]) -> bool:
    # ml_dtypes' floating types are of kind V; asking them for their limits tells them from its integers.
    return dtype.kind == "f" or (dtype.kind == "V" and "float" in dtype.name)


def _pieces(held: Array | StoredWeights) -> Iterator[Array]:
    """The values in flat pieces; those in a file are read, which is far quicker than faulting in its pages."""
    if isinstance(held, StoredWeights) and held.extent:
        yield from (np.frombuffer(chunk, held.dtype) for chunk in held.chunks())
    else:
        yield (held.load() if isinstance(held, StoredWeights) else held).reshape(-1)


def _first_nan(pieces: Iterable[Array]) -> int | None:
    start = 0
    for piece in pieces:
        # A sum is NaN if any term is (or if infinities of both signs meet): several times faster than isnan.
        with np.errstate(over="ignore", invalid="ignore"):
            total = piece.sum() if piece.dtype.itemsize >= 4 else piece.astype(np.float32).sum()
        if np.isnan(total):
            found = np.flatnonzero(np.isnan(piece.astype(np.float32)))
            if found.size:
                return start + int(found[0])
        start += piece.size
    return None
