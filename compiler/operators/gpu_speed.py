"""About how long a GPU takes for a convolution or matrix product: its arithmetic and its memory, by type of number.

The figures are those of NVIDIA's data sheets and architecture papers for one common GPU of each compute capability,
without sparsity. They serve to compare nodes with each other: a real kernel is slower than both limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Literal

Number = Literal["float32", "float16", "int8", "float8"]

BYTES: Mapping[Number, int] = {"float32": 4, "float16": 2, "int8": 1, "float8": 1}

_WIDTHS: Mapping[Number, int] = {"float32": 4, "float16": 8, "int8": 32, "float8": 32}
"""Tensor cores take channels in multiples of this number; the rest of the last multiple is wasted."""

_PACKED: Mapping[Number, int] = {"float32": 1, "float16": 2, "int8": 4, "float8": 2}
"""How many multiplications an ordinary core does at once: dot products of four int8; float8 as float16."""


@dataclass(frozen=True)
class Gpu:
    """A GPU of a compute capability.

    processors, clock, bandwidth  streaming multiprocessors; their clock in Hz; bytes of memory per second
    tensor                        multiply-accumulate operations of a multiprocessor's tensor cores in a clock, by type
    ordinary                      the same of its other cores, in float32
    """

    name: str
    processors: int
    clock: float
    bandwidth: float
    tensor: Mapping[Number, int]
    ordinary: int = 128


GPUS: Mapping[int, Gpu] = {
    75: Gpu("T4", 40, 1.59e9, 320e9, {"float16": 512, "int8": 1024}, ordinary=64),
    80: Gpu("A100", 108, 1.41e9, 1555e9, {"float32": 512, "float16": 1024, "int8": 2048}, ordinary=64),
    86: Gpu("A10", 72, 1.695e9, 600e9, {"float32": 256, "float16": 512, "int8": 1024}),
    89: Gpu("L4", 58, 2.04e9, 300e9, {"float32": 256, "float16": 512, "int8": 1024, "float8": 1024}),
    90: Gpu("H100", 132, 1.83e9, 3350e9, {"float32": 1024, "float16": 2048, "int8": 4096, "float8": 4096}),
    100: Gpu("B200", 148, 1.85e9, 8000e9, {"float32": 2048, "float16": 4096, "int8": 8192, "float8": 8192}),
    120: Gpu("RTX 5090", 170, 2.41e9, 1792e9, {"float32": 128, "float16": 512, "int8": 1024, "float8": 1024}),
}
"""By compute capability, 89 for 8.9. float32 is TF32 where tensor cores have it."""

COMMON = 86
"""The capability that is assumed where none is named."""


def gpu_of(capability: int) -> Gpu:
    """The GPU that stands for a compute capability: of that capability, or else of the next older one."""
    return GPUS[max(each for each in GPUS if each <= max(capability, min(GPUS)))]


@dataclass(frozen=True)
class Work:
    """What a product does for one sample.

    macs             multiply-accumulate operations
    summed, outputs  channels that one group sums over and gives
    groups           of a convolution, else 1
    moved            numbers that it reads and writes, weights included
    """

    macs: int
    summed: int
    outputs: int
    groups: int
    moved: int


def gpu_seconds(gpu: Gpu, work: Work, number: Number) -> float:
    """The least time that arithmetic and memory allow for a product in a type of number.

    A group with fewer channels than tensor cores take at once, as in a depthwise convolution, runs on other cores.
    """
    width = _WIDTHS[number]
    rate = gpu.tensor.get(number, 0)
    macs = float(work.macs)
    if not rate or (work.groups > 1 and work.summed < width):
        rate = gpu.ordinary * _PACKED[number]
    else:
        macs *= _padded(work.summed, width) * _padded(work.outputs, width)
    return max(macs / (rate * gpu.processors * gpu.clock), work.moved * BYTES[number] / gpu.bandwidth)


def _padded(channels: int, width: int) -> float:
    """How many times as many channels are computed."""
    return ceil(channels / width) * width / channels
