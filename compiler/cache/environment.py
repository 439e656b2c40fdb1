"""What computes: the same numbers are certain only where all of it is the same."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from functools import cache
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("ml_dtypes", "numpy", "onnx", "onnx-graphsurgeon", "onnxruntime", "onnxsim", "pillow")

OPTIONAL_LIBRARIES = ("torch",)

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Environment variables that say how many threads the libraries under numpy and PyTorch use."""

_PACKAGES = ("vggc", "vggc.passes", "vggc.grammar", "vggc.recipes")
_SOURCES = (".py", ".lark", ".opt")
_PROCESSOR = Path("/proc/cpuinfo")


def environment() -> dict[str, str]:
    """Versions, the hash of vggc's own code, and the processor, by name."""
    threads = {f"threads {name}": os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    return {"vggc": code_hash(), **versions(), "python": platform.python_version(), "processor": processor(), **threads}


@cache
def versions() -> dict[str, str]:
    """The versions of the libraries that compute or decode; of the optional ones, of those that are installed."""
    # The command line imports this module at its start, which this import would make 10 ms longer.
    from importlib.metadata import PackageNotFoundError, version

    found = {name: version(name) for name in LIBRARIES}
    for name in OPTIONAL_LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@cache
def code_hash() -> str:
    """A hash of all sources of vggc, because a version that is being worked on keeps its number."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or () if spec is not None else ():
            for path in sorted(each for each in Path(folder).rglob("*") if each.suffix in _SOURCES):
                digest.update(f"{package} {path.relative_to(folder).as_posix()} ".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def processor() -> str:
    """The kind of processor, the instructions that it has, and how many cores a process may use.

    Libraries choose their kernels by the instructions, and divide sums by the number of threads.
    """
    return f"{platform.machine()} {platform.processor()} {_instructions()} {_cores()} cores"


def processor_name() -> str:
    """The processor and its cores, for people."""
    named = ""
    if _PROCESSOR.is_file():
        lines = _PROCESSOR.read_text(encoding="utf-8", errors="replace").splitlines()
        named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{named or platform.processor() or platform.machine()}, {_cores()} cores"


def _cores() -> int | None:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _instructions() -> str:
    """The hash of the processor's features where Linux lists them, else empty."""
    if not _PROCESSOR.is_file():
        return ""
    lines = _PROCESSOR.read_text(encoding="utf-8", errors="replace").splitlines()
    features = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return hashlib.sha256(features.encode()).hexdigest()[:16]
