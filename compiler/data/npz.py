"""Write arrays to a .npz file under any names. numpy.savez cannot write an array with the name `file`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vggc.graph.arrays import Array


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays so that numpy.load reads them. Types that .npz does not support, like bfloat16, become float32."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            values = np.asarray(array, np.float32) if array.dtype.kind == "V" else np.asarray(array)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
