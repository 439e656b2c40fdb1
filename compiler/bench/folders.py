"""The files in a folder that can be measured."""

from __future__ import annotations

from pathlib import Path

from vggc.diagnostics import Code, fail

_SIDECAR = ".engine.json"
"""The end of the names of sidecars."""


def measurable_files(path: Path) -> list[Path]:
    """`path` itself when it is a file, else the models in the folder, then its sidecars. Raises CompileError."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.onnx")) + sorted(path.glob(f"*{_SIDECAR}"))
    if not files:
        help = "give the output folder of a compile"
        raise fail(f"the folder `{path}` contains neither a model nor an engine", help=help, code=Code.BENCH)
    return files


def is_engine(path: Path) -> bool:
    """Whether this is the sidecar of an engine."""
    return path.name.endswith(_SIDECAR)
