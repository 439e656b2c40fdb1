"""Weights that stay where they are until somebody reads them."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import onnx
from onnx_graphsurgeon.ir.tensor import LazyValues

from vggc.diagnostics import Code, CompileError, fail
from vggc.graph.arrays import Array
from vggc.graph.wire import Extent

_CHUNK = 4 << 20


@lru_cache(maxsize=64)
def _mapped(path: Path, inode: int, size: int, changed: int) -> mmap.mmap:
    """A file in memory. `inode`, `size` and `changed` tell it from another file that later has the same path."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _file_bytes(extent: Extent) -> mmap.mmap:
    status = extent.path.stat()
    if status.st_size < extent.offset + extent.size:
        raise _cut_short(extent)
    return _mapped(extent.path, status.st_ino, status.st_size, status.st_mtime_ns)


def _cut_short(extent: Extent) -> CompileError:
    return fail(f"the weights in `{extent.path}` were cut short while being read", code=Code.WEIGHTS_FILE)


class StoredWeights(LazyValues):
    """The values of an initializer nobody has changed: in its TensorProto, or in a file.

    graphsurgeon's own LazyValues cannot read data outside the message and converts the types numpy lacks; this one
    keeps every ONNX type (through ml_dtypes) and maps files instead of reading them.
    """

    def __init__(self, tensor: onnx.TensorProto, extent: Extent | None) -> None:
        self.tensor = tensor
        self.extent = extent
        self.shape = list(tensor.dims)
        self.dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)

    @property
    def nbytes(self) -> int:
        """Bytes of the values as ONNX stores them (two INT4 to a byte)."""
        if self.extent:
            return self.extent.size
        return stored_bytes(self.tensor.data_type, self.shape)

    @property
    def raw(self) -> bool:
        """Whether the values are bytes somewhere, and not numbers in fields of the message."""
        return self.extent is not None or self.tensor.HasField("raw_data")

    def load(self) -> Array:
        """The values, read-only; a view of the file where its bytes are aligned."""
        if not self.raw:
            values = np.array(onnx.numpy_helper.to_array(self.tensor))
        elif is_packed(self.tensor.data_type):
            whole = onnx.TensorProto()
            whole.CopyFrom(self.tensor)
            whole.raw_data = b"".join(bytes(each) for each in self.chunks())
            values = np.array(onnx.numpy_helper.to_array(whole))
        elif self.extent is None:
            # to_array says the same, but takes ten times as long: it matters for thousands of batch norms.
            values = np.frombuffer(self.tensor.raw_data, self.dtype).reshape(self.shape)
        else:
            count = int(np.prod(self.shape, dtype=np.int64))
            if self.extent.offset % self.dtype.alignment:
                # Reading is far quicker than copying out of a map, page fault by page fault.
                flat = np.fromfile(self.extent.path, self.dtype, count, offset=self.extent.offset)
            else:
                flat = np.frombuffer(_file_bytes(self.extent), self.dtype, count, self.extent.offset)
            values = flat.reshape(self.shape)
        values.flags.writeable = False
        return values

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The raw bytes in pieces, little-endian as ONNX stores them; only for weights that are `raw`."""
        if self.extent is None:
            yield self.tensor.raw_data
            return
        with self.extent.path.open("rb", buffering=0) as file:
            file.seek(self.extent.offset)
            left = self.extent.size
            while left:
                piece = file.read(min(left, _CHUNK))
                if not piece:
                    raise _cut_short(self.extent)
                left -= len(piece)
                yield piece


_BITS = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2, "FLOAT6E2M3": 6, "FLOAT6E3M2": 6}
"""The types of which ONNX stores several values in a byte, or one across two."""


def is_packed(data_type: int) -> bool:
    """Whether ONNX stores several values of a type in a byte, or one across two."""
    return onnx.TensorProto.DataType.Name(data_type) in _BITS


def stored_bytes(data_type: int, shape: list[int]) -> int:
    """Bytes that a tensor of an ONNX type and a shape takes in a model file (strings: one each)."""
    return -(-math.prod(shape) * _bits(data_type) // 8)


@cache
def _bits(data_type: int) -> int:
    name = onnx.TensorProto.DataType.Name(data_type)
    if name == "STRING":
        return 8
    return _BITS.get(name) or 8 * onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """A message for a name that is too long or has a null byte in it, and for links that lead to each other."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        # What Python says of such a name differs between its versions.
        unnameable = "no file can have this name" if isinstance(error, ValueError) else str(error)
        reason = getattr(error, "strerror", None) or unnameable
        raise fail(f"{where} cannot be read: {reason}", help="save the model again", code=Code.WEIGHTS_FILE) from None


def external_extent(tensor: onnx.TensorProto, folder: Path) -> Extent:
    """Where the data of an initializer with external data stands.

    Raises CompileError when the file is missing, too short, or outside the model's folder (a model must not be able
    to read any file of the machine that compiles it).
    """
    entries = {each.key: each.value for each in tensor.external_data}
    location = entries.get("location", "")
    where = f"the external data of initializer `{tensor.name}`"
    root = folder.resolve()
    with _readable(where):
        path = (root / location).resolve()
    if not location or Path(location).is_absolute() or not path.is_relative_to(root):
        raise fail(
            f"{where} is outside the model's folder: `{location}`",
            help="keep the data file beside the model and save the model again",
            code=Code.WEIGHTS_FILE,
        )
    try:
        offset, size = int(entries.get("offset", "0")), entries.get("length")
    except ValueError:
        raise fail(f"{where} has a malformed offset: `{entries.get('offset')}`", code=Code.WEIGHTS_FILE) from None
    need = stored_bytes(tensor.data_type, list(tensor.dims))
    with _readable(where):
        length_of_file = path.stat().st_size if path.is_file() else None
    if length_of_file is None:
        raise fail(
            f"{where} is missing: there is no file `{path}`",
            help=f"put `{location}` beside the model",
            code=Code.WEIGHTS_FILE,
        )
    length = int(size) if size and size.isdigit() else need
    if length != need or offset < 0:
        raise fail(
            f"{where} does not fit its shape: {length} bytes at {offset} for {need} needed", code=Code.WEIGHTS_FILE
        )
    if offset + length > length_of_file:
        raise fail(f"{where} is cut short: `{path}` ends before byte {offset + length}", code=Code.WEIGHTS_FILE)
    return Extent(path, offset, length)
