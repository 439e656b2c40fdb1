"""The target `onnxruntime`: the compiled model, the options of its session, and a program that runs it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.diagnostics.packages import ONNXRUNTIME
from vggc.graph.signature import ValueType, inputs_of, outputs_of
from vggc.targets import runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target
from vggc.values import Within

Provider = Literal["cpu", "cuda", "tensorrt", "tensorrt_rtx", "directml", "openvino", "coreml", "qnn"]

PROVIDERS: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt_rtx": "NvTensorRTRTXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "qnn": "QNNExecutionProvider",
}
"""Names as onnxruntime spells them. Plug-ins bear the name that the program registers them under."""

LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}

RUNNER = Path(__file__).with_name("onnxruntime_runner.py")
"""It is copied unchanged, so that users get exactly the program that the tests run."""


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    folder = options["folder"]
    if options["format"] == "ort":
        return (f"{folder}/model.ort", f"{folder}/model.ort.json", f"{folder}/session.json", f"{folder}/run.py")
    return (f"{folder}/model.onnx", f"{folder}/model.onnx.data", f"{folder}/session.json", f"{folder}/run.py")


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    problems = [each for each in [file_name_problem(options["folder"])] if each]
    providers = options["providers"]
    if providers is None:
        return problems
    if not providers:
        problems.append(
            Diagnostic("providers=[] names no provider", help="write providers=[cpu]", code=Code.TARGET_OPTIONS)
        )
    if repeated := sorted({each for each in providers if providers.count(each) > 1}):
        problems.append(
            Diagnostic(f"providers names `{repeated[0]}` twice", help="write it once", code=Code.TARGET_OPTIONS)
        )
    return problems


@target(check=_check, files=_files, folders=True)
def onnxruntime(
    lowering: Lowering,
    *,
    providers: list[Provider] | None = None,
    threads: Annotated[int, Within(1, 4096)] | None = None,
    spin: bool = True,
    optimization: Literal["none", "basic", "extended", "all"] = "all",
    format: Literal["onnx", "ort"] = "onnx",
    folder: str = "onnxruntime",
) -> list[Artifact]:
    """Write the compiled model with the options of an onnxruntime session, and a program that runs it.

    In the folder, `python run.py inputs.npz outputs.npz` runs the model on arrays that have the names of its inputs. It
    registers NVIDIA's plug-in for tensorrt_rtx when onnxruntime does not contain that provider.

    Options:
        providers: the execution providers, by default [cpu]. The first one that can run a node runs it.
        threads: how many threads run one operator; by default one for each core.
        spin: let idle threads wait actively. On a machine that has other work, false is several times faster.
        optimization: how far onnxruntime may rewrite the model, for example to fuse nodes into one CPU kernel.
        format: `ort` is onnxruntime's own format, which its small builds for phones read; they do not read ONNX. The
            rewrites are then done now, those of `all` for this processor excepted, and the file is run and compared.
        folder: the name of the folder inside the output folder.
    """
    options = {"folder": folder, "providers": providers}
    graph = lowering.graph
    if problems := _check(inputs_of(graph), options):
        raise CompileError(*problems)
    path = lowering.claim_folder(folder)
    session = {
        "model": f"model.{format}",
        "providers": [PROVIDERS[each] for each in providers or ["cpu"]],
        "graph_optimization_level": LEVELS[optimization],
        "intra_op_num_threads": threads or 0,
        "config": {"session.intra_op.allow_spinning": "1" if spin else "0"},
        "inputs": [_value(each) for each in inputs_of(graph)],
        "outputs": [_value(each) for each in outputs_of(graph)],
    }
    if format == "ort":
        artifacts = _write_ort(lowering, path / "model.ort", optimization)
    else:
        written = lowering.write_model(path / "model.onnx")
        artifacts = [Artifact.written(each, lowering.directory, "onnxruntime") for each in written]
    settings, runner = path / "session.json", path / "run.py"
    settings.write_text(json.dumps(session, indent=2) + "\n", encoding="utf-8")
    runner.write_bytes(RUNNER.read_bytes())
    return [
        *artifacts,
        *(Artifact.of(each, lowering.directory, "onnxruntime") for each in (settings, runner)),
    ]


def _write_ort(lowering: Lowering, path: Path, optimization: str) -> list[Artifact]:
    """Write the model in onnxruntime's own format, and compare the file. `all` would bind it to this processor."""
    level = LEVELS["extended" if optimization == "all" else optimization]
    with lowering.model_file() as files:
        arguments = {"model": str(files[0].path), "output": str(path), "level": level}
        runtime_model.convert(ONNXRUNTIME, "onnxruntime_model:convert", arguments, "onnxruntime")
    allowed = runtime_model.allowed_for(lowering.graph)
    return runtime_model.finish(lowering, runtime_model.Written("onnxruntime", "onnxruntime", path, {}, allowed))


def _value(value: ValueType) -> dict[str, Any]:
    return {"name": value.name, "type": str(value.dtype), "shape": None if value.shape is None else list(value.shape)}
