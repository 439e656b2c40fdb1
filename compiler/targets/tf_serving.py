"""The target `tf_serving`: a model folder for TensorFlow Serving."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from vggc.data.npz import write_npz
from vggc.diagnostics import CompileError, Diagnostic
from vggc.diagnostics.packages import ONNX2TF
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph.signature import ValueType
from vggc.targets import onnx2tf, runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target
from vggc.targets.saved_model import PARTS, copy_saved_model
from vggc.values import Within

WARM_UP = "assets.extra/tf_serving_warmup_requests"


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    folder = f"{options['repository']}/{options['name']}"
    parts = (*PARTS, WARM_UP)
    return (*(f"{folder}/{options['version']}/{each}" for each in parts), f"{folder}/{options['version']}.json")


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    return onnx2tf.problems("tf_serving", [file_name_problem(options[each]) for each in ("repository", "name")])


@target(check=_check, check_graph=onnx2tf.check_graph, files=_files, folders=True)
def tf_serving(
    lowering: Lowering,
    *,
    name: str = "model",
    version: Annotated[int, Within(1, 2**31 - 1)] = 1,
    tolerance: float | None = None,
    repository: str = "tf_serving",
) -> list[Artifact]:
    """Write a model folder for TensorFlow Serving, `<repository>/<name>/<version>`, with a warm-up request.

    It is made like `target saved_model`: by onnx2tf, and compared with onnxruntime by running it with TensorFlow. Start
    the server with `tensorflow_model_server --model_name=<name> --model_base_path=<absolute path of repository/name>`.

    Options:
        name: the name of the model for clients.
        version: the version of the model; the server serves the highest one.
        tolerance: the allowed error of an output, relative to its largest number. By default 1e-4.
        repository: the folder inside the output folder.
    """
    if problems := _check((), {"name": name, "repository": repository}):
        raise CompileError(*problems)
    path = lowering.claim_folder(f"{repository}/{name}/{version}")
    copy_saved_model(onnx2tf.converted(lowering), path)
    with tempfile.TemporaryDirectory(prefix="vggc-") as folder:
        inputs = Path(folder, "inputs.npz")
        write_npz(inputs, random_inputs(Session(lowering.graph))[-1])
        arguments = {"folder": str(path), "name": name, "inputs": str(inputs)}
        runtime_model.convert(ONNX2TF, "saved_model:write_warm_up", arguments, "TensorFlow Serving")
    allowed = runtime_model.allowed_for(lowering.graph) if tolerance is None else tolerance
    return runtime_model.finish(lowering, runtime_model.Written("tf_serving", "saved_model", path, {}, allowed))
