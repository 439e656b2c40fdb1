"""Estimates of GPU time: by hand for one GPU, and how types and shapes compare."""

from __future__ import annotations

import pytest

from vggc.operators.gpu_speed import GPUS, Work, gpu_of, gpu_seconds

A10 = GPUS[86]
WIDE = Work(macs=10**9, summed=576, outputs=64, groups=1, moved=10**5)


def test_arithmetic_and_memory_are_two_limits() -> None:
    assert gpu_seconds(A10, WIDE, "int8") == pytest.approx(10**9 / (1024 * 72 * 1.695e9))
    assert gpu_seconds(A10, WIDE, "float16") == pytest.approx(2 * gpu_seconds(A10, WIDE, "int8"))
    moving = Work(macs=10**6, summed=64, outputs=64, groups=1, moved=10**8)
    assert gpu_seconds(A10, moving, "int8") == pytest.approx(10**8 / 600e9)
    assert gpu_seconds(A10, moving, "float32") == pytest.approx(4 * 10**8 / 600e9)


def test_channels_that_do_not_fill_a_kernel_cost_as_if_they_did() -> None:
    narrow = Work(macs=10**9, summed=24, outputs=8, groups=1, moved=1)
    # 24 of 32 summed and 8 of 32 given for int8; fp16 takes multiples of 8.
    assert gpu_seconds(A10, narrow, "int8") == pytest.approx(10**9 * (32 / 24) * (32 / 8) / (1024 * 72 * 1.695e9))
    assert gpu_seconds(A10, narrow, "float16") == pytest.approx(10**9 / (512 * 72 * 1.695e9))


def test_a_depthwise_convolution_does_not_run_on_tensor_cores() -> None:
    depthwise = Work(macs=10**9, summed=1, outputs=1, groups=64, moved=1)
    assert gpu_seconds(A10, depthwise, "float16") == pytest.approx(10**9 / (2 * 128 * 72 * 1.695e9))


def test_a_type_without_tensor_cores_runs_on_ordinary_cores() -> None:
    t4 = GPUS[75]
    assert gpu_seconds(t4, WIDE, "float32") == pytest.approx(10**9 / (64 * 40 * 1.59e9))


@pytest.mark.parametrize(("capability", "name"), [(75, "T4"), (87, "A10"), (121, "RTX 5090"), (60, "T4")])
def test_a_capability_without_an_entry_counts_as_the_one_before(capability: int, name: str) -> None:
    assert gpu_of(capability).name == name
