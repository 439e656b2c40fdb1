"""What there is to measure in a folder."""

from __future__ import annotations

from pathlib import Path

from vggc.diagnostics import fail


def measured_in(path: Path) -> list[Path]:
    """A file as it is; of a folder its models. Raises CompileError for one that holds none."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.onnx"))
    if not found:
        raise fail(f"the folder `{path}` holds no model", help="give it the output of a compile")
    return found
