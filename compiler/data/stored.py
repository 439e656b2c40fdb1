"""Arrays in `.npy` and `.npz` files, mapped or read piece by piece; pickles are never loaded."""

from __future__ import annotations

import io
import math
import mmap
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy

from vggc.data.dataset import SampleType
from vggc.diagnostics import Code, CompileError, fail
from vggc.graph.arrays import Array
from vggc.graph.signature import type_text

HELD_BYTES = 256 << 20
"""A compressed array up to this size is unpacked once and kept; a larger one is unpacked on each reading."""

LARGEST_SAMPLE = 1 << 30
"""How many bytes a compressed sample may unpack to: a small archive can hold many gigabytes."""

_LONGEST_HEADER = 1 << 16
"""How many bytes of a file are read as a header, which says itself how long it is: up to 4 GiB."""

_KINDS = "biufcUS"
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


class Header(NamedTuple):
    """The header of a `.npy` file, and how many bytes it takes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: int

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


class StoredArray(ABC):
    """An array in a file. `where` names it in messages."""

    def __init__(self, where: str, header: Header) -> None:
        self.where = where
        self.header = header

    @property
    def rows(self) -> int:
        """Length of the first axis. Raises CompileError for a single number."""
        if not self.header.shape:
            raise fail(f"{self.where} is a single number, not an array of samples", code=Code.DATA_ARRAYS)
        return self.header.shape[0]

    @property
    def sample(self) -> SampleType:
        return SampleType(self.header.dtype, self.header.shape[1:])

    def check(self) -> None:
        """Raise CompileError for a type other than numbers, truth values and texts."""
        dtype = self.header.dtype
        if dtype.hasobject:
            raise fail(
                f"{self.where} holds Python objects, which are never loaded",
                help="save an array of numbers: x = numpy.array(x, dtype=numpy.float32)",
                code=Code.UNREADABLE_DATA,
            )
        if dtype.kind not in _KINDS:
            raise fail(
                f"{self.where} has the type {type_text(dtype)}",
                help="save it as float32 or as integers",
                code=Code.DATA_ARRAYS,
            )

    @abstractmethod
    def chunks(self, rows: int, limit: int) -> Iterator[Array]:
        """The first `limit` samples, at most `rows` at a time: (rows, ...)."""

    def first(self, count: int) -> Array:
        """The first `count` samples as one array, (count, ...)."""
        pieces = list(self.chunks(max(count, 1), count))
        return pieces[0] if pieces else np.zeros((0, *self.sample.shape), self.sample.dtype)


class Mapped(StoredArray):
    """An uncompressed array in a file, which is mapped into memory."""

    def __init__(self, where: str, header: Header, path: Path, start: int) -> None:
        super().__init__(where, header)
        self._path = path
        self._start = start

    @cached_property
    def _array(self) -> Array:
        if self.header.nbytes == 0:
            return np.zeros(self.header.shape, self.header.dtype)
        order = "F" if self.header.fortran else "C"
        try:
            start = self._start + self.header.size
            return np.memmap(self._path, self.header.dtype, "r", start, self.header.shape, order)  # type: ignore[call-overload,no-any-return]
        except (OSError, ValueError) as error:
            raise fail(f"cannot read {self.where}: {error}", code=Code.UNREADABLE_DATA) from None

    def chunks(self, rows: int, limit: int) -> Iterator[Array]:
        for at in range(0, min(limit, self.rows), rows):
            # A plain view: numpy.memmap's own class makes every small operation slower.
            yield self._array[at : min(at + rows, limit)].view(np.ndarray)
            self._let_go()

    def _let_go(self) -> None:
        """Give back the pages that have been read, which otherwise count as memory of the process to its end.

        Whoever still looks at them gets them again from the file.
        """
        mapping = getattr(self._array, "_mmap", None)
        if mapping is not None and hasattr(mapping, "madvise"):
            mapping.madvise(mmap.MADV_DONTNEED)


class Packed(StoredArray):
    """A compressed member of a `.npz` file."""

    def __init__(self, where: str, header: Header, path: Path, member: str) -> None:
        super().__init__(where, header)
        self._path = path
        self._member = member
        self._held: Array | None = None

    def check(self) -> None:
        """As for every array; also raises CompileError for samples too large to be unpacked in memory."""
        super().check()
        sample = self.header.dtype.itemsize * math.prod(self.header.shape[1:])
        if sample > LARGEST_SAMPLE:
            raise fail(
                f"each sample of {self.where} unpacks to {sample:,} bytes",
                help="if that is right, save it uncompressed: numpy.savez(path, name=array)",
                code=Code.DATA_ARRAYS,
            )

    def chunks(self, rows: int, limit: int) -> Iterator[Array]:
        limit = min(limit, self.rows)
        wanted = self.sample.nbytes * limit
        if self._held is None or len(self._held) < limit:
            whole = self.header.fortran
            if wanted > HELD_BYTES and whole:
                raise fail(
                    f"{self.where} is compressed column by column and too large to be held in memory",
                    help="save it row by row: numpy.ascontiguousarray(x)",
                    code=Code.UNREADABLE_DATA,
                )
            if wanted > HELD_BYTES:
                yield from self._stream(rows, limit)
                return
            self._held = self._whole() if whole else next(self._stream(max(limit, 1), limit), None)
        if self._held is not None:
            for at in range(0, limit, rows):
                yield self._held[at : min(at + rows, limit)]

    def _stream(self, rows: int, limit: int) -> Iterator[Array]:
        with _reading(self.where), zipfile.ZipFile(self._path) as archive, archive.open(self._member) as file:
            file.read(self.header.size)
            for at in range(0, limit, rows):
                count = min(rows, limit - at)
                yield _numbers(file, self.header.dtype, (count, *self.sample.shape), self.where)

    def _whole(self) -> Array:
        with _reading(self.where), zipfile.ZipFile(self._path) as archive, archive.open(self._member) as file:
            file.read(self.header.size)
            return _numbers(file, self.header.dtype, self.header.shape[::-1], self.where).T


class _reading:
    """Turns what zipfile and zlib raise for a damaged archive into an error about the array being read."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _BROKEN) and not isinstance(error, CompileError):
            raise fail(
                f"cannot read {self._where}: {error}",
                help="the file is damaged: save it again",
                code=Code.UNREADABLE_DATA,
            ) from None


def _numbers(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> Array:
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    data = file.read(size)
    if len(data) < size:
        raise fail(f"{where} is cut short", help="the file is damaged: save it again", code=Code.UNREADABLE_DATA)
    return np.frombuffer(data, dtype).reshape(shape)


def _header(stored: IO[bytes], where: str) -> Header:
    start = stored.read(12)
    length = int.from_bytes(start[8:10] if start[6:7] == b"\x01" else start[8:12], "little")
    file = io.BytesIO(start + stored.read(min(length, _LONGEST_HEADER)))
    try:
        version = npy.read_magic(file)
    except ValueError:
        raise fail(f"{where} is not a numpy array", code=Code.UNREADABLE_DATA) from None
    if version not in ((1, 0), (2, 0)):
        raise fail(
            f"{where} has fields or an unknown format",
            help="save plain arrays with numpy.save",
            code=Code.UNREADABLE_DATA,
        )
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except (ValueError, SyntaxError) as error:
        raise fail(f"{where} has a damaged header: {str(error).splitlines()[0]}", code=Code.UNREADABLE_DATA) from None
    if any(each < 0 for each in shape):
        raise fail(f"{where} has a damaged header: a negative length", code=Code.UNREADABLE_DATA)
    return Header(tuple(shape), fortran, dtype, file.tell())


def open_npy(path: Path) -> StoredArray:
    """The array in a `.npy` file. Raises CompileError when it cannot be read."""
    where = f"the array in `{path}`"
    size = readable(path)
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            raise fail(
                f"`{path}` is an archive of arrays, not one array",
                help=f'read it with npz("{path.name}")',
                code=Code.UNREADABLE_DATA,
            )
        file.seek(0)
        header = _header(file, f"`{path}`")
    array = Mapped(where, header, path, 0)
    array.check()
    if header.size + header.nbytes > size:
        raise fail(
            f"`{path}` is cut short: {size} bytes where {header.size + header.nbytes} are needed",
            code=Code.UNREADABLE_DATA,
        )
    return array


def open_npz(path: Path) -> dict[str, StoredArray]:
    """The arrays in a `.npz` file by name, unread. Raises CompileError when the file cannot be read."""
    readable(path)
    arrays: dict[str, StoredArray] = {}
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN:
        with path.open("rb") as file:
            single = file.read(6) == npy.MAGIC_PREFIX
        raise fail(
            f"`{path}` is not an .npz file, or is cut short",
            help=f'it holds one array: npy("{path.name}")' if single else "save it with numpy.savez(path, name=array)",
            code=Code.UNREADABLE_DATA,
        ) from None
    with archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.is_dir() or name == info.filename:
                continue
            where = f"array `{name}` of `{path}`"
            if info.flag_bits & 1:
                raise fail(f"{where} is encrypted", code=Code.UNREADABLE_DATA)
            with _reading(where), archive.open(info) as file:
                header = _header(file, where)
            if header.size + header.nbytes > info.file_size and not header.dtype.hasobject:
                raise fail(
                    f"{where} is cut short", help="the file is damaged: save it again", code=Code.UNREADABLE_DATA
                )
            if info.compress_type == zipfile.ZIP_STORED:
                arrays[name] = Mapped(where, header, path, _data_start(path, info))
            else:
                arrays[name] = Packed(where, header, path, info.filename)
    if not arrays:
        raise fail(
            f"`{path}` holds no arrays", help="save it with numpy.savez(path, name=array)", code=Code.DATA_ARRAYS
        )
    return arrays


def _data_start(path: Path, info: zipfile.ZipInfo) -> int:
    # A local file header has 30 bytes, then the name and an extra field, whose lengths are its last four bytes.
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        lengths = file.read(4)
    return info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")


def readable(path: Path) -> int:
    """The size of a file. Raises CompileError when it is missing, empty, not a file, or cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            size = file.tell()
    except FileNotFoundError:
        raise fail(
            f"there is no file `{path}`", help="paths are relative to the recipe", code=Code.UNREADABLE_DATA
        ) from None
    except IsADirectoryError:
        raise fail(f"`{path}` is a folder, not a file", code=Code.UNREADABLE_DATA) from None
    except OSError as error:
        raise fail(f"cannot read `{path}`: {error.strerror}", code=Code.UNREADABLE_DATA) from None
    if size == 0:
        raise fail(f"`{path}` is empty", code=Code.UNREADABLE_DATA)
    return size
