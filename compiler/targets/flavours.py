"""The two TensorRT packages: whether each is installed, in which release, and how to install it."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import re
import sys
from functools import cache

from vggc.diagnostics import Code, Diagnostic
from vggc.diagnostics.packages import TENSORRT
from vggc.targets.engine_messages import TITLES

OLDEST: dict[str, tuple[int, int]] = {"tensorrt": (10, 12), "tensorrt_rtx": (1, 5)}
"""The oldest releases that vggc supports."""

_WHEELS = frozenset({("linux", "x86_64"), ("win32", "amd64")})


def missing(package: str) -> Diagnostic | None:
    """Why engines of a flavour cannot be built here; None when its package is installed and new enough."""
    title = TITLES[package]
    if importlib.util.find_spec(package) is None:
        return Diagnostic(
            f"the target `{package}` needs the Python package `{package}`, which is not installed",
            help=_installation(package),
            code=Code.MISSING_PACKAGE,
        )
    installed, oldest = release(package), OLDEST[package]
    if installed < oldest:
        return Diagnostic(
            f"{title} {_text(installed)} is installed, but vggc needs {_text(oldest)} or newer",
            help=_installation(package),
            code=Code.MISSING_PACKAGE,
        )
    return None


def release(package: str) -> tuple[int, int]:
    """Major and minor version of an installed flavour."""
    numbers = [int(each) for each in re.findall(r"\d+", full_release(package))[:2]]
    return numbers[0], numbers[1]


@cache
def full_release(package: str) -> str:
    """The full version of an installed flavour, as in `1.7.1.116`."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        # Installed without pip, as on Jetson boards.
        return str(importlib.import_module(package).__version__)


def _installation(package: str) -> str:
    if package == "tensorrt":
        return f"{TENSORRT.command}, on a machine with an NVIDIA GPU; `target tensorrt_rtx` builds without one"
    if (sys.platform, platform.machine().lower()) not in _WHEELS:
        return "tensorrt-rtx needs Linux or Windows on x86-64; `target onnx` writes the compiled model here"
    return "pip install tensorrt-rtx"


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
