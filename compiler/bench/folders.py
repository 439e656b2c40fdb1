"""What there is to measure in a folder."""

from __future__ import annotations

from pathlib import Path

from vggc.diagnostics import fail

_SIDECAR = ".engine.json"
"""How the names of files end that describe an engine."""


def measured_in(path: Path) -> list[Path]:
    """A file as it is; of a folder its models, then the sidecars of its engines. Raises CompileError for neither."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.onnx")) + sorted(path.glob(f"*{_SIDECAR}"))
    if not found:
        raise fail(f"the folder `{path}` holds neither a model nor an engine", help="give it the output of a compile")
    return found


def is_engine(path: Path) -> bool:
    """Whether this is the sidecar of an engine."""
    return path.name.endswith(_SIDECAR)
