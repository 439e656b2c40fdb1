"""`vggc.compile`, `vggc.check` and `vggc.plan`: the commands of the same names, for programs.

They print nothing and never end the program. What is wrong is raised as CompileError, whose note is the text that the
command line prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vggc.api.given import Inputs, Recipe, bound, bound_for, datasets, default_folder, model_file
from vggc.api.progress import ProgressCallback, reported
from vggc.api.results import Check, Plan, Result
from vggc.diagnostics import Code, CompileError, Diagnostic, render, short_text
from vggc.pipeline.compile import compile_model, plan_model
from vggc.pipeline.precheck import check_model
from vggc.pipeline.verify import VerifyMode


def compile(
    recipe: Recipe,
    model: Any,
    *,
    out: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    verify: VerifyMode = "end",
    progress: ProgressCallback | None = None,
    inputs: Inputs = (),
    dynamic: Sequence[str] = (),
    python: bool = True,
) -> Result:
    """Compile a model by a recipe into an output folder, which appears completely or not at all.

    recipe    a path, `vggc:NAME.opt`, or the text of a recipe: a str with a line break in it
    model     the path of an ONNX file, an onnx.ModelProto, or a torch.nn.Module with its `inputs`
    out       the output folder; `build/<model>-<recipe>` by default
    set       values of parameters: a str is read as `--set` reads it ("40%", "int8"), another value is taken as it is
    data      data sets by name, in place of the recipe's `data` statements of these names, or beside them: a Dataset,
              a dict of arrays named like the model's inputs, (samples, ...), with class numbers under "labels", one
              array for a model with one input, a pair (inputs, labels), or an object that yields such dicts, arrays or
              pairs in every loop over it, such as a DataLoader that does not shuffle
    verify    when to compare the models before and after exact steps: "each", "end" or "off"
    progress  gets a ProgressUpdate whenever the work changes
    inputs    of a module: example arrays or tensors for the arguments of its `forward`, in order or by name, or texts
              as `vggc export --input` takes them, "x: 1x3x32x32"
    dynamic   of a module: dimensions of any size as `vggc export --dynamic` takes them, "batch"
    python    whether the recipe may bring in Python files, which run with your permissions

    Raises CompileError when the recipe, the model or the data is wrong, and RequirementNotMet, a CompileError, when a
    `require` is not met.
    """
    show = reported(progress)
    with explained():
        samples = datasets(data)
        pipeline = bound(recipe, set, samples, python=python)
        folder = default_folder(recipe, model) if out is None else Path(out)
        with model_file(model, inputs, dynamic, show) as file:
            pipeline, guesses = bound_for(file.path, pipeline, recipe, set, samples, python=python)
            report = compile_model(pipeline, file.path, folder, name=file.name, verify=verify, progress=show)
    report.warnings[:0] = [*file.warnings, *guesses]
    return Result(folder, report)


def check(
    recipe: Recipe,
    model: Any = None,
    *,
    set: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    inputs: Inputs = (),
    dynamic: Sequence[str] = (),
    python: bool = True,
) -> Check:
    """Find everything that is wrong with a recipe, and with a model also what cannot work for it. Runs no step.

    The arguments are those of `compile`. Raises CompileError with all errors and warnings.
    """
    with explained():
        samples = datasets(data)
        pipeline = bound(recipe, set, samples, python=python)
        warnings = list(pipeline.warnings)
        if model is None:
            warnings += check_model(pipeline, None)
        else:
            with model_file(model, inputs, dynamic, reported(None)) as file:
                pipeline, guesses = bound_for(file.path, pipeline, recipe, set, samples, python=python)
                warnings += check_model(pipeline, file.path)
            warnings += [Diagnostic(each, severity="warning", code=Code.EXPORT) for each in file.warnings]
            warnings += [Diagnostic(each, severity="warning", code=Code.IMAGE_OPTIONS) for each in guesses]
    return Check(tuple(warnings), sum(1 for _ in pipeline.steps()), len(pipeline.targets))


def plan(
    recipe: Recipe,
    model: Any,
    *,
    set: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    inputs: Inputs = (),
    dynamic: Sequence[str] = (),
    python: bool = True,
) -> Plan:
    """What each step of a recipe would do to a model. Writes nothing, and skips requirements and targets.

    The arguments are those of `compile`. Raises CompileError when the recipe, the model or the data is wrong.
    """
    show = reported(progress)
    with explained():
        samples = datasets(data)
        pipeline = bound(recipe, set, samples, python=python)
        with model_file(model, inputs, dynamic, show) as file:
            pipeline, guesses = bound_for(file.path, pipeline, recipe, set, samples, python=python)
            report = plan_model(pipeline, file.path, name=file.name, progress=show)
    report.warnings[:0] = [*file.warnings, *guesses, *map(short_text, pipeline.warnings)]
    return Plan(report)


@contextmanager
def explained() -> Iterator[None]:
    """Show the messages of a CompileError below it, with their places and help lines."""
    try:
        yield
    except CompileError as error:
        error.add_note("\n" + "\n\n".join(render(each, code=True) for each in error.diagnostics))
        raise
