"""PyTorch, which is an optional package. This module imports without it."""

from __future__ import annotations

from vggc.diagnostics import Code, fail
from vggc.diagnostics.packages import TORCH


def need_torch() -> None:
    """Raises CompileError that says what to install when PyTorch is missing."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise fail(
            "recover needs `torch`, which is not installed",
            help=TORCH.command,
            code=Code.MISSING_PACKAGE,
        ) from None
