"""The calls of NVIDIA's driver that are needed to run an engine: memory, copies, a stream, times.

Source: the CUDA Driver API reference. The driver is installed with the GPU, so this needs no package. Everything
happens in the device's primary context, which TensorRT and the CUDA runtime use too.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from vggc.graph.arrays import Array

_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR"""


class CudaError(Exception):
    """A call of the driver failed."""


class Device:
    """The first NVIDIA GPU. Raises CudaError when there is none, or the driver does not start.

    `stream` is the handle of a new stream, `capability` as in "sm89".
    """

    def __init__(self) -> None:
        name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
        try:
            self._driver = ctypes.CDLL(name)
        except OSError:
            raise CudaError(f"there is no NVIDIA driver: {name} cannot be loaded") from None
        self._call("cuInit", 0)
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if not count.value:
            raise CudaError("the NVIDIA driver found no GPU")
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self.name = self._name(device)
        self.capability = f"sm{self._attribute(device, _MAJOR)}{self._attribute(device, _MINOR)}"
        self.driver = self._version()
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        stream = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(stream), 0)
        self.stream = int(stream.value or 0)

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes of GPU memory, at least one, until the process ends. Returns the address."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        return address.value

    def write(self, address: int, array: Array) -> None:
        """Copy an array to GPU memory."""
        data = np.ascontiguousarray(array)
        if data.nbytes:
            pointer = ctypes.c_void_p(data.ctypes.data)
            self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), pointer, ctypes.c_size_t(data.nbytes))

    def read(self, address: int, array: Array) -> None:
        """Fill a contiguous array from GPU memory."""
        if array.nbytes:
            pointer = ctypes.c_void_p(array.ctypes.data)
            self._call("cuMemcpyDtoH_v2", pointer, ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes))

    def wait(self) -> None:
        """Wait until all work of the stream is done."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(self.stream))

    def milliseconds(self, work: Callable[[], None]) -> float:
        """How long the GPU is busy with what `work` puts into the stream."""
        first, last = ctypes.c_void_p(), ctypes.c_void_p()
        stream = ctypes.c_void_p(self.stream)
        self._call("cuEventCreate", ctypes.byref(first), 0)
        self._call("cuEventCreate", ctypes.byref(last), 0)
        try:
            self._call("cuEventRecord", first, stream)
            work()
            self._call("cuEventRecord", last, stream)
            self._call("cuEventSynchronize", last)
            taken = ctypes.c_float()
            self._call("cuEventElapsedTime", ctypes.byref(taken), first, last)
        finally:
            self._call("cuEventDestroy_v2", first)
            self._call("cuEventDestroy_v2", last)
        return taken.value

    def _name(self, device: ctypes.c_int) -> str:
        text = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", text, len(text), device)
        return text.value.decode(errors="replace")

    def _attribute(self, device: ctypes.c_int, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, device)
        return value.value

    def _version(self) -> str:
        """The newest CUDA that the driver runs: 13010 is 13.1."""
        value = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(value))
        return f"{value.value // 1000}.{value.value % 1000 // 10}"

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._driver, function)(*arguments)
        if status != 0:
            name = ctypes.c_char_p()
            known = self._driver.cuGetErrorName(status, ctypes.byref(name)) == 0 and name.value
            raise CudaError(f"{function} failed: {name.value.decode() if known and name.value else status}")
