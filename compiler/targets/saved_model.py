"""The target `saved_model`: the compiled model as a SavedModel for TensorFlow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vggc.diagnostics import CompileError, Diagnostic
from vggc.graph.signature import ValueType
from vggc.targets import onnx2tf, runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target

PARTS = ("saved_model.pb", "fingerprint.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    return (*(f"{options['folder']}/{each}" for each in PARTS), f"{options['folder']}.json")


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    return onnx2tf.problems("saved_model", [file_name_problem(options["folder"])])


@target(check=_check, check_graph=onnx2tf.check_graph, files=_files, folders=True)
def saved_model(lowering: Lowering, *, tolerance: float | None = None, folder: str = "saved_model") -> list[Artifact]:
    """Convert the compiled model to a SavedModel with onnx2tf, run it with TensorFlow, and compare it with onnxruntime.

    It needs the package `onnx2tf` in a separate environment, like `target litert`. The signature `serving_default`
    has the names of the model's inputs, which stay channels-first.

    Options:
        tolerance: the allowed error of an output, relative to its largest number. By default 1e-4.
        folder: the name of the SavedModel's folder inside the output folder.
    """
    if problems := _check((), {"folder": folder}):
        raise CompileError(*problems)
    path = lowering.claim_folder(folder)
    copy_saved_model(onnx2tf.converted(lowering), path)
    allowed = runtime_model.allowed_for(lowering.graph) if tolerance is None else tolerance
    return runtime_model.finish(lowering, runtime_model.Written("saved_model", "saved_model", path, {}, allowed))


def copy_saved_model(source: Path, destination: Path) -> None:
    """Copy a SavedModel without what onnx2tf writes beside it."""
    for part in PARTS:
        if (source / part).is_file():
            (destination / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / part, destination / part)
