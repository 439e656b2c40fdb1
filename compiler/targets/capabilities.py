"""The GPUs an engine is built for, by compute capability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from vggc.diagnostics import Code, Diagnostic, fail, spelling_help
from vggc.graph import Graph
from vggc.targets.verifier.types import capability_number, oldest_capability

Capability = Literal["sm75", "sm80", "sm86", "sm89", "sm120", "sm121"]
"""Compute capabilities of the GPUs that TensorRT RTX builds for: sm86 is 8.6."""

DEFAULT_CAPABILITIES: tuple[Capability, ...] = ("sm80", "sm86", "sm89", "sm120")
"""What an engine is built for by default, less those that lack a type of the model. sm75 has no float32 Gemm."""


def compute_problems(compute: Sequence[str] | None) -> list[Diagnostic]:
    """What is wrong with the option `compute` by itself."""
    if compute is None:
        return []
    known = get_args(Capability)
    if not compute:
        return [Diagnostic("compute=[] names no GPU", help=spelling_help("", known), code=Code.TARGET_OPTIONS)]
    if unknown := [each for each in compute if each not in known]:
        return [
            Diagnostic(
                f"unknown compute capability `{each}`", help=spelling_help(each, known), code=Code.TARGET_OPTIONS
            )
            for each in unknown
        ]
    repeated = sorted({each for each in compute if compute.count(each) > 1}, key=capability_number)
    return [
        Diagnostic(f"compute names `{each}` twice", help="write it once", code=Code.TARGET_OPTIONS) for each in repeated
    ]


def chosen(graph: Graph, compute: Sequence[str] | None) -> tuple[str, ...]:
    """The capabilities to build for. Raises CompileError when a requested one does not support a type of the graph."""
    oldest, type_name = oldest_capability(graph)
    if compute is None:
        return tuple(each for each in DEFAULT_CAPABILITIES if capability_number(each) >= oldest)
    if lacking := [each for each in compute if capability_number(each) < oldest]:
        able = [each for each in get_args(Capability) if capability_number(each) >= oldest]
        raise fail(
            f"{', '.join(lacking)} GPUs do not support {type_name}, which the model uses",
            help=f"compute=[{', '.join(able)}] support it",
            code=Code.CAPABILITY,
        )
    return tuple(compute)
