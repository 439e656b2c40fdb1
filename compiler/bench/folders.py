"""The files in a folder that can be measured: models, and the sidecars of engines and of models for other runtimes."""

from __future__ import annotations

from pathlib import Path

from vggc.diagnostics import Code, fail
from vggc.runtimes.sidecar import is_sidecar

_SIDECAR = ".engine.json"
"""The end of the names of sidecars."""


def measurable_files(path: Path) -> list[Path]:
    """`path` itself when it is a file, else the models in the folder, then the sidecars. Raises CompileError.

    Targets for other runtimes write into folders of the output folder, so that sidecars are looked for there too.
    """
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.onnx")) + sorted(path.glob(f"*{_SIDECAR}"))
    files += [each for each in sorted([*path.glob("*.json"), *path.glob("*/*.json")]) if is_runtime_model(each)]
    if not files:
        help = "give the output folder of a compile"
        raise fail(f"the folder `{path}` contains neither a model nor an engine", help=help, code=Code.BENCH)
    return files


def is_runtime_model(path: Path) -> bool:
    """Whether this is the sidecar of a model for a runtime other than onnxruntime and TensorRT."""
    return path.suffix == ".json" and not is_engine(path) and is_sidecar(path)


def is_engine(path: Path) -> bool:
    """Whether this is the sidecar of an engine."""
    return path.name.endswith(_SIDECAR)
