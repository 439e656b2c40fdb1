"""The target `tvm`: the compiled model as a shared library, compiled by Apache TVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vggc.diagnostics import CompileError, Diagnostic
from vggc.diagnostics.packages import TVM
from vggc.graph.signature import ValueType
from vggc.runtimes.packages import missing
from vggc.targets import runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    return (options["name"], f"{options['name']}.json")


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    problems = (file_name_problem(options["name"]), missing("the target `tvm`", TVM))
    return [each for each in problems if each]


@target(check=_check, files=_files)
def tvm(lowering: Lowering, *, tolerance: float | None = None, name: str = "model.tvm.so") -> list[Artifact]:
    """Compile the model with Apache TVM to a shared library for this machine, and compare it with onnxruntime.

    It needs the package `apache-tvm` and a C compiler, which links the library. TVM uses its default schedules: without
    tuning, it is slower than the other runtimes. `<name>.json` describes the model and the comparison; `vggc bench`
    reads it.

    Options:
        tolerance: the allowed error of an output, relative to its largest number. By default 1e-4 for float32, and
            more for coarser types.
        name: the file's name in the output folder.
    """
    if problems := _check((), {"name": name}):
        raise CompileError(*problems)
    path = lowering.claim(name)
    with lowering.model_file() as files:
        arguments = {"model": str(files[0].path), "output": str(path)}
        runtime_model.convert(TVM, "tvm_model:convert", arguments, "TVM")
    allowed = runtime_model.allowed_for(lowering.graph) if tolerance is None else tolerance
    return runtime_model.finish(lowering, runtime_model.Written("tvm", "tvm", path, {}, allowed))
