"""The target `openvino`: OpenVINO's intermediate representation of the compiled model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.diagnostics.packages import OPENVINO
from vggc.graph import Graph
from vggc.graph.signature import ValueType
from vggc.runtimes.packages import missing
from vggc.targets import runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    return tuple(f"{options['folder']}/model.{ending}" for ending in ("xml", "bin", "xml.json"))


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    problems = (file_name_problem(options["folder"]), missing("the target `openvino`", OPENVINO))
    return [each for each in problems if each]


def _check_graph(graph: Graph) -> list[Diagnostic]:
    """float64 values that a node computes: OpenVINO's CPU plug-in computes them in float32 without a warning."""
    for node in graph.nodes:
        for value in node.outputs:
            if graph.dtype(value) == np.float64:
                return [
                    Diagnostic(
                        f"OpenVINO would compute {graph.label(node)} in float32, but it computes float64",
                        help="export the model in float32, or use `target onnxruntime`",
                        code=Code.CONVERSION,
                    )
                ]
    return []


@target(check=_check, check_graph=_check_graph, files=_files, folders=True)
def openvino(
    lowering: Lowering,
    *,
    compute: Literal["float32", "bfloat16", "float16", "auto"] = "float32",
    half_weights: bool = False,
    tolerance: float | None = None,
    folder: str = "openvino",
) -> list[Artifact]:
    """Write the compiled model for OpenVINO, and compare its outputs with onnxruntime's on this CPU.

    It needs the package `openvino`. int8 models keep the numbers that `quantize` chose for onnxruntime: OpenVINO has
    integer kernels for the same places. `model.xml.json` describes the model, the comparison and the settings to load
    it with; `vggc bench` reads it.

    Options:
        compute: what OpenVINO computes float32 operators in. The model file cannot store this: the program that loads
            it must set `INFERENCE_PRECISION_HINT`. For `auto`, OpenVINO uses bfloat16 on processors that have it.
        half_weights: store float32 weights as float16, in half the bytes.
        tolerance: the allowed error of an output, relative to its largest number. By default 1e-4 for float32, and
            more for coarser types.
        folder: the name of the folder inside the output folder.
    """
    if problems := [*_check((), {"folder": folder}), *_check_graph(lowering.graph)]:
        raise CompileError(*problems)
    path = lowering.claim_folder(folder) / "model.xml"
    with lowering.model_file() as files:
        arguments = {"model": str(files[0].path), "output": str(path), "half_weights": half_weights}
        runtime_model.convert(OPENVINO, "openvino_model:convert", arguments, "OpenVINO")
    allowed = tolerance
    if allowed is None:
        # OpenVINO may choose bfloat16 or float16.
        computed = "bfloat16" if compute == "auto" else compute
        allowed = runtime_model.allowed_for(lowering.graph, computed, *(["float16"] if half_weights else []))
    return runtime_model.finish(
        lowering, runtime_model.Written("openvino", "openvino", path, {"compute": compute}, allowed)
    )
