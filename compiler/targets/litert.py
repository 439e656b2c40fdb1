"""The target `litert`: the compiled model as a TFLite file for LiteRT, on phones and small machines."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from vggc.diagnostics import CompileError, Diagnostic
from vggc.graph.signature import ValueType
from vggc.targets import onnx2tf, runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target

_FILES = {"float32": "float32", "float16": "float16", "int8": "dynamic_range_quant"}


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    return (options["name"], f"{options['name']}.json")


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    return onnx2tf.problems("litert", [file_name_problem(options["name"])])


@target(check=_check, check_graph=onnx2tf.check_graph, files=_files)
def litert(
    lowering: Lowering,
    *,
    weights: Literal["float32", "float16", "int8"] = "float32",
    tolerance: float | None = None,
    name: str = "model.tflite",
) -> list[Artifact]:
    """Convert the compiled model to TFLite with onnx2tf, run it with LiteRT, and compare it with onnxruntime.

    It needs the package `onnx2tf` in a separate environment, because it does not support the onnx that vggc needs; a
    message says how to make it. Inputs stay channels-first. A model that `quantize` has quantized is
    refused, because onnx2tf would write float operators for it. `<name>.json` describes the model and the comparison;
    `vggc bench` reads it.

    Options:
        weights: how weights are stored. `int8` is TFLite's dynamic-range quantization: activations stay float32 between
            operators, and no samples are needed.
        tolerance: the allowed error of an output, relative to its largest number. By default 1e-4 for float32, 1e-2 for
            float16 and 5e-2 for int8.
        name: the file's name in the output folder.
    """
    if problems := _check((), {"name": name}):
        raise CompileError(*problems)
    path = lowering.claim(name)
    with onnx2tf.converted(lowering, dynamic_range=weights == "int8") as folder:
        shutil.copyfile(folder / f"model_{_FILES[weights]}.tflite", path)
    allowed = runtime_model.allowed_for(lowering.graph, weights) if tolerance is None else tolerance
    written = runtime_model.Written("litert", "litert", path, {"weights": weights}, allowed)
    return runtime_model.finish(lowering, written)
