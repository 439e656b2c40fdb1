"""The target `torchserve`: an archive (.mar) that TorchServe serves with onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vggc.diagnostics import CompileError, Diagnostic
from vggc.diagnostics.packages import TORCHSERVE
from vggc.graph.signature import ValueType
from vggc.runtimes.packages import missing
from vggc.targets import runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target

HANDLER = Path(__file__).with_name("torchserve_handler.py")
"""It is copied unchanged into the archive, so that users get exactly the program that the tests run."""


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    return (f"{options['name']}.mar",)


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    problems = (file_name_problem(f"{options['name']}.mar"), missing("the target `torchserve`", TORCHSERVE))
    return [each for each in problems if each]


@target(check=_check, files=_files)
def torchserve(lowering: Lowering, *, name: str = "model", version: str = "1.0") -> list[Artifact]:
    """Write an archive for TorchServe, `<name>.mar`: the compiled model, and a handler that runs it with onnxruntime.

    It needs the package `torch-model-archiver`; the server needs `onnxruntime`. The project TorchServe is archived and
    gets no more fixes: for a new service, write `target triton`. A request is JSON, `{"inputs": {"image": [...]}}`, or
    an .npz file; the answer has the outputs by name. The handler runs each request of a batch by itself.

    Options:
        name: the name of the model for clients, and of the file.
        version: the version of the model for clients.
    """
    if problems := _check((), {"name": name}):
        raise CompileError(*problems)
    path = lowering.claim(f"{name}.mar")
    with tempfile.TemporaryDirectory(prefix="vggc-") as folder, lowering.model_file() as files:
        arguments = {
            "name": name,
            "version": version,
            "model": str(files[0].path),
            "extra": [str(each.path) for each in files[1:]],
            "handler": str(HANDLER),
            "output": folder,
        }
        runtime_model.convert(TORCHSERVE, "archive:archive", arguments, "TorchServe")
        path.write_bytes(Path(folder, f"{name}.mar").read_bytes())
    return [Artifact.of(path, lowering.directory, "torchserve")]
