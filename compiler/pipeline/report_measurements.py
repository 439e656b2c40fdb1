"""What a compile measures for its report alone: where time and accuracy go. No decision of a compile depends on it."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from itertools import islice

from vggc.data import Dataset
from vggc.data.pictures import Picture, pictured
from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.progress import Progress
from vggc.execution.random_inputs import random_inputs
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import inputs_of
from vggc.pipeline.fidelity import spread
from vggc.pipeline.kernel_times import kernel_times
from vggc.pipeline.model import Pipeline
from vggc.pipeline.runner import Runner
from vggc.pipeline.sample_accuracy import SampleAccuracy, sample_accuracy, sample_pictures
from vggc.pipeline.step_cache import StepCache, restored
from vggc.pipeline.value_accuracy import value_accuracy
from vggc.report.measured import Accuracy
from vggc.report.pictures import DataSheet, PagePictures
from vggc.report.record import Report

VARIABLE = "VGGC_MEASURE"
"""The environment variable that switches the measurements on or off. Without it, recipes with data are measured.

An exact compile takes a second or two, and the measurements would take several times as long.
"""

_MACS = 2e10
"""The most multiply-accumulate operations of each model for all samples whose values are compared."""

_MOST = 16
_SHEET = 12
"""Samples of each data set on its contact sheet."""


def measure_for_report(
    report: Report, runner: Runner, graph: Graph, pipeline: Pipeline, *, cache: StepCache, progress: Progress
) -> PagePictures:
    """Complete `report` with what is measured of the model as read and of `graph`. Returns the pictures for the page.

    What cannot be measured is named in `report.not_measured` with the reason.
    """
    reason = _why_not(report, pipeline)
    if reason:
        report.not_measured.append(reason)
        return PagePictures()
    before = runner.state.as_read()
    progress.begin("measuring the time of each node")
    try:
        measured = kernel_times(before, graph, _first_data(runner, pipeline))
        report.latency = replace(measured, meant_for=_gpu_targets(pipeline))
    except CompileError as error:
        report.not_measured.append(f"time: {error.diagnostics[0].message}")
    progress.begin("comparing the values of both models")
    worst: tuple[Picture | None, ...] = ()
    if any(not step.exact and step.total and not step.undone for step in report.steps):
        try:
            report.accuracy, worst = _accuracy(before, graph, runner, report, cache)
        except CompileError as error:
            report.not_measured.append(f"accuracy: {error.diagnostics[0].message}")
    try:
        sheets = [_sheet(each.load()) for each in pipeline.data.values()]
    except CompileError as error:
        report.not_measured.append(f"contact sheet: {error.diagnostics[0].message}")
        sheets = []
    return PagePictures(worst, tuple(each for each in sheets if each.pictures))


def _why_not(report: Report, pipeline: Pipeline) -> str:
    """Why nothing is measured; empty when it is. Raises CompileError for a wrong value of the variable."""
    given = os.environ.get(VARIABLE, "")
    if given not in ("", "on", "off"):
        advice = f"set {VARIABLE} to on or off, or do not set it"
        raise fail(f"{VARIABLE} is `{given}`", help=advice, code=Code.VARIABLE)
    if given == "off":
        return f"{VARIABLE} is off"
    if report.verify == "off":
        return "with --verify off, nothing runs the model"
    if not given and not pipeline.data:
        return f"the recipe has no data; {VARIABLE}=on measures without"
    return ""


def _gpu_targets(pipeline: Pipeline) -> str:
    names = dict.fromkeys(each.target for each in pipeline.destinations if each.is_tensorrt)
    return ", ".join(names)


def _first_data(runner: Runner, pipeline: Pipeline) -> Dataset | None:
    used = runner.samples.first_used()
    return used or next((each.load() for each in pipeline.data.values()), None)


def _accuracy(
    before: Graph, after: Graph, runner: Runner, report: Report, cache: StepCache
) -> tuple[Accuracy, tuple[Picture | None, ...]]:
    """Where accuracy goes, measured or from the cache, and the pictures of the worst samples."""
    inputs, data = runner.samples.to_judge(inputs_of(after), runner.costs.macs)
    # The causes name lines of the recipe, which may have moved.
    lines = [step.line for step in report.steps]
    parts = ("accuracy", runner.state.key, lines, runner.dependencies.of_all_data())
    known = cache.find_check(*parts)
    if known is not None:
        accuracy, rows = restored(Accuracy, known["accuracy"]), known["rows"]
    else:
        samples = SampleAccuracy() if data is None else sample_accuracy(before, after, data)
        few, pair = _few(before, after, data, report.steps[0].before.macs)
        values, quantizers = value_accuracy(before, after, pair, report.steps)
        described = inputs if few is None else f"{few} of {inputs}"
        accuracy = Accuracy(described, values, quantizers, samples.output, samples.confusion, samples.worst)
        rows = samples.rows
        cache.keep_check({"accuracy": asdict(accuracy), "rows": rows}, *parts)
    return accuracy, () if data is None else sample_pictures(before, data, rows)


def _few(before: Graph, after: Graph, data: Dataset | None, macs: int | None) -> tuple[int | None, tuple[Feeds, Feeds]]:
    """A few samples as each model takes them, and their number; None for random inputs, when there is no data."""
    if data is None:
        feeds = random_inputs(before, inputs_of(after))[0]
        return None, (feeds, feeds)
    count = int(min(_MOST, max(1, _MACS // macs if macs else _MOST)))
    few = spread(data, count)
    first, second = (next(iter(few.fit(inputs_of(graph)).batches(count, count))) for graph in (before, after))
    return len(few), (first, second)


def _sheet(data: Dataset) -> DataSheet:
    """Some samples of a data set as pictures, at equal distances, because folders of images are sorted by class."""
    few = spread(data, _SHEET)
    found: list[Picture] = []
    for number, batch in enumerate(islice(few.batches(1), _SHEET)):
        picture = pictured(few, batch, number, number)
        if picture is None:
            break
        found.append(picture)
    return DataSheet(data.name, data.description, tuple(found))
