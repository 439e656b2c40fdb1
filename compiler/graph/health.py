"""Whether a model's weights are numbers at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx_graphsurgeon as gs

from vggc.diagnostics import fail
from vggc.graph.weights import Array, StoredWeights


def check_numbers(constants: Iterable[gs.Constant]) -> None:
    """Raise CompileError when a weight is NaN, naming the initializer and the place of the first one.

    Infinity is left alone: masks are written with it. Reads every weight once, a piece at a time.
    """
    for constant in constants:
        held = constant._values
        if not isinstance(held, np.ndarray | StoredWeights) or not _is_float(held.dtype):
            continue
        at = _first_nan(_pieces(held))
        if at is not None:
            index = ", ".join(str(each) for each in np.unravel_index(at, held.shape))
            raise fail(
                f"the weights of the model are not numbers: initializer `{constant.name}` is NaN at [{index}]",
                help="the training diverged or the file is damaged: export the model from a healthy checkpoint",
            )


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
