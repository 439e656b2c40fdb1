"""The whole flow: from a bound recipe and a model file to an output folder and a report."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vggc import __version__
from vggc.cache.environment import processor_name, versions
from vggc.cache.keys import file_hash
from vggc.diagnostics import Diagnostic, at, short_text
from vggc.diagnostics.progress import NO_PROGRESS, Progress
from vggc.execution.threads import background
from vggc.graph import Graph
from vggc.graph.health import check_numbers
from vggc.operators.roles import trained_weights
from vggc.pipeline.failed import Failed, NotedProgress, reported_failure
from vggc.pipeline.model import BoundData, Pipeline
from vggc.pipeline.output_folder import check_output_folder, output_folder, write_report
from vggc.pipeline.precheck import check_fit
from vggc.pipeline.quantized_speed import has_cpu_target, speed_warnings
from vggc.pipeline.report_measurements import measure_for_report
from vggc.pipeline.runner import Runner, Stepped
from vggc.pipeline.step_cache import StepCache
from vggc.pipeline.verify import VerifyMode
from vggc.pipeline.written import WrittenModels
from vggc.report.picture import picture
from vggc.report.pictures import NO_PICTURES
from vggc.report.record import Report, plain_value
from vggc.targets.contract import SCRATCH, Artifact, Lowering, Provenance

Warned = Callable[[Sequence[Diagnostic]], None]


def compile_model(
    pipeline: Pipeline,
    model: Path,
    output: Path,
    *,
    name: str | None = None,
    command: str = "",
    verify: VerifyMode = "end",
    targets: bool = True,
    progress: Progress = NO_PROGRESS,
    stepped: Stepped = lambda record, graph: None,
    ran: Callable[[], None] = lambda: None,
    failed: Failed = lambda report, folder: None,
    warned: Warned = lambda warnings: None,
) -> Report:
    """Run a recipe on a model and write all artefacts, or nothing.

    `name` is what the report calls the model, its path by default, and `command` the command line of this compile, if
    there is one. Without `targets`, the steps run for the recipe's targets, but only the report is written, and nothing
    is measured for it. `progress` gets what is done, `stepped` each step
    with a function that returns the graph after it, `warned` the warnings that are known before the first step, and
    `ran` is called when all steps have run. Raises CompileError (exit status 1) for a wrong model or data, and
    RequirementNotMet (exit status 3) for a gate. Then it writes no output, but when a step has begun, a report of what
    ran beside it, which `failed` gets.
    """
    started = time.perf_counter()
    check_output_folder(output)
    noted = NotedProgress(progress)
    noted.begin("reading the model")
    with background("reading") as beside:
        hashed = beside.submit(file_hash, model)
        graph = Graph.load(model)
        graph.infer_shapes(check=True)
        warnings = check_fit(pipeline, graph)
        warned(warnings)
        report = Report(_recipe(pipeline), {}, verify, version=__version__, facts=_facts(command))
        report.warnings += [each.message for each in pipeline.warnings] + [short_text(each) for each in warnings]
        healthy = beside.submit(check_numbers, trained_weights(graph))
        cache = StepCache.of_user(model, graph, hashed.result)
        runner = Runner(
            pipeline, graph, model, verify=verify, report=report, progress=noted, cache=cache, stepped=stepped
        )
        before = picture(graph, runner.costs)
        report.model = {"path": name or str(model), "sha256": hashed.result(), "bytes": model.stat().st_size}

        def finish() -> str:
            """Complete the report, also that of a compile that fails here. Returns what the compile was doing."""
            report.warnings = list(dict.fromkeys([*report.warnings, *runner.verifier.warnings, *cache.warnings]))
            report.seconds = time.perf_counter() - started
            return noted.doing

        with reported_failure(output, report, before, finish=finish, failed=failed):
            try:
                graph = runner.run()
                ran()
                runner.measure_objectives()
            finally:
                # Weights with NaN or infinity explain other errors, so they are reported first.
                healthy.result()
            with output_folder(output) as staging:
                written = WrittenModels(model, graph, runner, report, cache=cache, progress=noted)
                provenance = _provenance(pipeline, report, runner)
                lowering = Lowering(graph, model.stem, staging, provenance, check_model=written)
                artifacts = _lower(pipeline, lowering, noted) if targets else []
                written.finish()
                report.warnings += [*runner.verifier.warnings, *written.warnings, *lowering.warnings]
                if verify != "off" and has_cpu_target(pipeline):
                    noted.begin("measuring the speed")
                    report.warnings += speed_warnings(graph, runner.samples.first_used())
                pictures = NO_PICTURES
                if targets:
                    pictures = measure_for_report(report, runner, graph, pipeline, cache=cache, progress=noted)
                finish()
                report.artifacts = [asdict(each) for each in artifacts]
                report.runs = [asdict(each) for each in lowering.runs]
                write_report(staging, report, before, picture(graph, runner.costs), pictures)
    return report


def plan_model(
    pipeline: Pipeline,
    model: Path,
    *,
    name: str | None = None,
    progress: Progress = NO_PROGRESS,
    stepped: Stepped = lambda record, graph: None,
    warned: Warned = lambda warnings: None,
) -> Report:
    """What each step would do to a model. The steps run on a graph in memory, without gates and targets.

    `name` is what the report calls the model, its path by default. Raises CompileError for a wrong model or data, like
    compile_model.
    """
    progress.begin("reading the model")
    graph = Graph.load(model)
    graph.infer_shapes(check=True)
    warnings = check_fit(pipeline, graph)
    warned(warnings)
    report = Report(_recipe(pipeline), {"path": name or str(model)}, "off", version=__version__)
    report.warnings += map(short_text, warnings)
    cache = StepCache.of_user(model, graph)
    Runner(
        pipeline,
        graph,
        model,
        verify="off",
        report=report,
        progress=progress,
        stepped=stepped,
        cache=cache,
        gates=False,
    ).run()
    report.warnings += cache.warnings
    return report


def _lower(pipeline: Pipeline, lowering: Lowering, progress: Progress) -> list[Artifact]:
    artifacts: list[Artifact] = []
    for each in pipeline.targets:
        progress.begin(f"target {each.target.name}")
        with at(each.span, "while lowering to this target"):
            options = {
                name: value.load() if isinstance(value, BoundData) else value for name, value in each.options.items()
            }
            artifacts += each.target(lowering, **options)
    shutil.rmtree(lowering.directory / SCRATCH, ignore_errors=True)
    return artifacts


def _recipe(pipeline: Pipeline) -> dict[str, Any]:
    parameters = {name: plain_value(value) for name, value in pipeline.params.items()}
    return {**pipeline.described, "parameters": parameters}


def _facts(command: str) -> dict[str, str]:
    """What a compile depended on beside its files."""
    libraries = ", ".join(f"{name} {number}" for name, number in versions().items())
    facts = {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{processor_name()}, {platform.system()} {platform.release()}",
        "versions": f"vggc {__version__}, Python {platform.python_version()}, {libraries}",
    }
    return {name: value for name, value in facts.items() if value}


def _provenance(pipeline: Pipeline, report: Report, runner: Runner) -> Provenance:
    for_targets = [
        value for each in pipeline.targets for value in each.options.values() if isinstance(value, BoundData)
    ]
    return {
        "recipe": pipeline.source.path,
        "recipe_sha256": report.recipe["sha256"],
        "parameters": report.recipe["parameters"],
        "passes": [step.name for step in report.steps if not step.undone],
        "source_sha256": report.model["sha256"],
        "calibration": {each.name: each.load().sha256 for each in dict.fromkeys((*runner.samples.used, *for_targets))},
    }
