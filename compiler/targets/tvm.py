"""The target `tvm`: the compiled model as a shared library, compiled by Apache TVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.diagnostics.packages import TVM, TVM_TUNING, Optional
from vggc.execution.threads import thread_limit
from vggc.graph.signature import ValueType, inputs_of
from vggc.runtimes.packages import missing
from vggc.runtimes.process import TIMEOUT
from vggc.targets import runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target
from vggc.values import Within


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    return (options["name"], f"{options['name']}.json")


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    tuned = bool(options["minutes"])
    problems = [file_name_problem(options["name"]), missing("the target `tvm`", _packages(tuned))]
    open_sizes = [each for each in inputs if not all(isinstance(size, int) for size in each.shape or ())]
    if tuned and open_sizes:
        problems.append(
            Diagnostic(
                f"TVM tunes for fixed sizes, but the input {open_sizes[0]} has others",
                help="write `set_batch(1)` before the target, or leave out `minutes`",
                code=Code.TARGET_OPTIONS,
            )
        )
    return [each for each in problems if each]


def _packages(tuned: bool) -> Optional:
    return TVM_TUNING if tuned else TVM


@target(check=_check, files=_files)
def tvm(
    lowering: Lowering,
    *,
    minutes: Annotated[float, Within(0.0, 10_000.0)] = 0.0,
    tolerance: float | None = None,
    name: str = "model.tvm.so",
) -> list[Artifact]:
    """Compile the model with Apache TVM to a shared library for this machine, and compare it with onnxruntime.

    It needs the package `apache-tvm` and a C compiler, which links the library. TVM uses its default schedules: without
    tuning, it is slower than the other runtimes. `<name>.json` describes the model and the comparison, and how many
    schedules were measured; `vggc bench` reads it.

    Options:
        minutes: how long TVM's MetaSchedule measures schedules for this machine, for a model whose input sizes are
            fixed. It ends some time later, when the schedules that it is measuring then are done. 0 does not tune.
        tolerance: the allowed error of an output, relative to its largest number. By default 1e-4 for float32, and
            more for coarser types.
        name: the file's name in the output folder.
    """
    if problems := _check(inputs_of(lowering.graph), {"name": name, "minutes": minutes}):
        raise CompileError(*problems)
    path = lowering.claim(name)
    with lowering.model_file() as files:
        arguments = {"model": str(files[0].path), "output": str(path), "minutes": minutes, "threads": thread_limit()}
        packages, timeout = _packages(bool(minutes)), TIMEOUT + 120 * minutes
        facts = runtime_model.convert(packages, "tvm_model:convert", arguments, "TVM", timeout=timeout)
    allowed = runtime_model.allowed_for(lowering.graph) if tolerance is None else tolerance
    return runtime_model.finish(
        lowering, runtime_model.Written("tvm", "tvm", path, {"minutes": minutes, **facts}, allowed)
    )
