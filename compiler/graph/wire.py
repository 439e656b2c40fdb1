"""Reading an ONNX file without its weights, straight off the protobuf wire.

`onnx.load` copies every weight twice before a pass has looked at one of them. Here the file is mapped, the messages
around the weights are walked, and each large `raw_data` is noted as (offset, bytes) instead of being read. What is
left is a small, ordinary ModelProto. Field numbers: onnx.proto3; wire format: the protobuf encoding specification.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from vggc.diagnostics import Code, CompileError, fail, nearest

MODEL_GRAPH = 7
GRAPH_INITIALIZER = 5
TENSOR_RAW_DATA = 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

KEEP_BELOW = 4096
"""Weights smaller than this many bytes stay in the message: shapes and axes are read by every pass."""


@dataclass(frozen=True)
class Extent:
    """Where a weight's bytes stand: `size` bytes from `offset` of the file `path`."""

    path: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Skeleton:
    """A model whose large initializers hold no data, and where that data is (by position among the initializers)."""

    model: onnx.ModelProto
    extents: dict[int, Extent]


class _Truncated(Exception):
    """A message says that it is longer than what holds it."""


class _Malformed(Exception):
    """The bytes are no protobuf message."""


def varint(value: int) -> bytes:
    """A number in protobuf's base-128 encoding."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def header(field: int, size: int) -> bytes:
    """What stands before the `size` bytes of a length-delimited field."""
    return varint(field << 3 | _BYTES) + varint(size)


def _read_varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    if at < end and data[at] < 0x80:
        return data[at], at + 1
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise _Malformed
    raise _Truncated


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Each field from `start` to `end`: number, wire type, first byte of its tag, first and last byte of its value."""
    at = start
    while at < end:
        tag_at = at
        tag, at = _read_varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise _Malformed
        if kind == _BYTES:
            size, at = _read_varint(data, at, end)
            stop = at + size
        elif kind == _VARINT:
            _, stop = _read_varint(data, at, end)
        elif kind == _FIXED64:
            stop = at + 8
        elif kind == _FIXED32:
            stop = at + 4
        else:
            raise _Malformed
        if stop > end:
            raise _Truncated
        yield number, kind, tag_at, at, stop
        at = stop


def _tensor(data: mmap.mmap, start: int, end: int) -> tuple[bytes, tuple[int, int] | None]:
    """A TensorProto's bytes without a large raw_data, and where that raw_data is."""
    pieces: list[bytes] = []
    raw: tuple[int, int] | None = None
    for number, kind, tag_at, first, last in _fields(data, start, end):
        if number == TENSOR_RAW_DATA and kind == _BYTES and last - first >= KEEP_BELOW:
            raw = (first, last - first)
        else:
            pieces.append(data[tag_at:last])
    return b"".join(pieces), raw


def _without_weights(data: mmap.mmap, path: Path) -> tuple[bytes, dict[int, Extent]]:
    model: list[bytes] = []
    extents: dict[int, Extent] = {}
    count = 0
    for number, kind, tag_at, first, last in _fields(data, 0, len(data)):
        if number != MODEL_GRAPH or kind != _BYTES:
            model.append(data[tag_at:last])
            continue
        graph: list[bytes] = []
        for inner, inner_kind, inner_tag_at, inner_first, inner_last in _fields(data, first, last):
            if inner != GRAPH_INITIALIZER or inner_kind != _BYTES or inner_last - inner_first < KEEP_BELOW:
                graph.append(data[inner_tag_at:inner_last])
            else:
                tensor, raw = _tensor(data, inner_first, inner_last)
                graph += (header(GRAPH_INITIALIZER, len(tensor)), tensor)
                if raw:
                    extents[count] = Extent(path, *raw)
            count += inner == GRAPH_INITIALIZER
        body = b"".join(graph)
        model += (header(MODEL_GRAPH, len(body)), body)
    return b"".join(model), extents


_OTHER_FILES = (
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
    (
        b"PK\x03\x04",
        "a zip archive, as torch.save writes",
        "export the module first: `vggc export FILE.py:FUNCTION --weights FILE`",
    ),
    (b"\x80\x02", "a Python pickle", "export the module first: `vggc export FILE.py:FUNCTION --weights FILE`"),
    (b"\x89HDF", "an HDF5 file", "convert it first, for instance with tf2onnx"),
    (b"\x93NUMPY", "a numpy array", "give the model first and data in the recipe"),
    (b"ftrt", "a TensorRT engine", "give the ONNX model that the engine was built from"),
    (b"vtrt", "a TensorRT for RTX engine", "give the ONNX model that the engine was built from"),
    (b"\x89PNG", "an image", "give the model first and data in the recipe"),
    (b"\xff\xd8\xff", "an image", "give the model first and data in the recipe"),
)
_ZIP_NAME = 256
"""Bytes in which the name of a zip archive's first file stands."""


def read_skeleton(path: Path) -> Skeleton:
    """The model in the file `path`, its weights left on disk.

    Raises CompileError when the file cannot be read, is cut short, or is no ONNX model.
    """
    try:
        kind = path.stat()
        if not stat.S_ISREG(kind.st_mode) and not stat.S_ISDIR(kind.st_mode):
            # A pipe would be waited for.
            raise fail(f"the model `{path}` is not a regular file", help="write it to a file first", code=Code.NO_MODEL)
        with path.open("rb") as file:
            if kind.st_size == 0:
                raise fail(f"the model `{path}` is empty", code=Code.NO_MODEL)
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise fail(f"cannot read the model `{path}`: {reason}", help=_similar_model(path), code=Code.NO_MODEL) from None
    with data:
        _reject_other_files(path, data)
        try:
            body, extents = _without_weights(data, path)
        except _Truncated:
            raise _cut_short(path, data) from None
        except _Malformed:
            raise _not_onnx(path) from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(body)
    except DecodeError:
        raise _not_onnx(path) from None
    if not model.HasField("graph") or not model.opset_import:
        raise _not_onnx(path)
    return Skeleton(model, extents)


def _similar_model(path: Path) -> str:
    """Advice for a model that is not there."""
    if path.exists():
        return ""
    close = nearest(path.stem, (each.stem for each in path.parent.glob("*.onnx")))
    return f"a similar name exists: `{path.with_name(close + '.onnx')}`" if close else ""


def _reject_other_files(path: Path, data: mmap.mmap) -> None:
    what = f"`{path}` is not an ONNX model but"
    for magic, kind, advice in _OTHER_FILES:
        if data[: len(magic)] != magic:
            continue
        if b".npy" in data[:_ZIP_NAME]:
            raise fail(
                f"{what} numpy arrays (.npz)", help="give the model first and data in the recipe", code=Code.NOT_ONNX
            )
        raise fail(f"{what} {kind}", help=advice, code=Code.NOT_ONNX)


def _not_onnx(path: Path) -> CompileError:
    return fail(
        f"`{path}` is not an ONNX model", help="vggc reads the .onnx files that exporters write", code=Code.NOT_ONNX
    )


def _cut_short(path: Path, data: mmap.mmap) -> CompileError:
    # A ModelProto begins with its ir_version (field 1, a small number); other bytes only look cut short.
    if data[:1] != b"\x08":
        return _not_onnx(path)
    return fail(
        f"the model `{path}` is cut short: its last part is missing after {len(data)} bytes",
        help="copy or export it again",
        code=Code.NOT_ONNX,
    )
