"""What a compile measures for its report alone: where time and accuracy go. No decision of a compile depends on it."""

from __future__ import annotations

import os
from itertools import islice

from vggc.data import Dataset
from vggc.data.pictures import Picture, pictured
from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.progress import Progress
from vggc.execution.random_inputs import random_inputs
from vggc.graph import Graph
from vggc.graph.signature import inputs_of
from vggc.pipeline.fidelity import spread
from vggc.pipeline.kernel_times import kernel_times
from vggc.pipeline.model import Pipeline
from vggc.pipeline.runner import Runner
from vggc.pipeline.sample_accuracy import SampleAccuracy, sample_accuracy
from vggc.pipeline.value_accuracy import value_accuracy
from vggc.report.measured import Accuracy
from vggc.report.pictures import DataSheet, PagePictures
from vggc.report.record import Report

VARIABLE = "VGGC_MEASURE"
"""The environment variable that switches the measurements off, with the value `off`."""

_MACS = 2e10
"""The most multiply-accumulate operations of each model for all samples whose values are compared."""

_MOST = 16
_SHEET = 12
"""Samples of each data set on its contact sheet."""


def measure_for_report(
    report: Report, runner: Runner, graph: Graph, pipeline: Pipeline, progress: Progress
) -> PagePictures:
    """Complete `report` with what is measured of the model as read and of `graph`. Returns the pictures for the page.

    What cannot be measured is named in `report.not_measured` with the reason.
    """
    if not _wanted():
        report.not_measured.append(f"{VARIABLE} is off")
        return PagePictures()
    if report.verify == "off":
        report.not_measured.append("with --verify off, nothing runs the model")
        return PagePictures()
    before = runner.state.as_read()
    progress.begin("measuring the time of each node")
    try:
        report.latency = kernel_times(before, graph, _first_data(runner, pipeline))
    except CompileError as error:
        report.not_measured.append(f"time: {error.diagnostics[0].message}")
    progress.begin("comparing the values of both models")
    samples = SampleAccuracy()
    if any(not step.exact and step.total and not step.undone for step in report.steps):
        try:
            report.accuracy, samples = _accuracy(before, graph, runner, report)
        except CompileError as error:
            report.not_measured.append(f"accuracy: {error.diagnostics[0].message}")
    try:
        sheets = [_sheet(each.load()) for each in pipeline.data.values()]
    except CompileError as error:
        report.not_measured.append(f"contact sheet: {error.diagnostics[0].message}")
        sheets = []
    return PagePictures(samples.pictures, tuple(each for each in sheets if each.pictures))


def _wanted() -> bool:
    given = os.environ.get(VARIABLE, "")
    if given not in ("", "off"):
        raise fail(f"{VARIABLE} is `{given}`", help=f"set {VARIABLE}=off, or do not set it", code=Code.VARIABLE)
    return not given


def _first_data(runner: Runner, pipeline: Pipeline) -> Dataset | None:
    used = runner.samples.first_used()
    return used or next((each.load() for each in pipeline.data.values()), None)


def _accuracy(before: Graph, after: Graph, runner: Runner, report: Report) -> tuple[Accuracy, SampleAccuracy]:
    macs = runner.costs.macs
    inputs, data = runner.samples.to_judge(inputs_of(after), macs)
    samples = SampleAccuracy()
    if data is None:
        feeds = random_inputs(before, inputs_of(after))[0]
        pair = (feeds, feeds)
    else:
        count = int(min(_MOST, max(1, _MACS // macs if macs else _MOST)))
        few = spread(data, count)
        one, other = (next(iter(few.fit(inputs_of(graph)).batches(count, count))) for graph in (before, after))
        pair = (one, other)
        samples = sample_accuracy(before, after, data)
        inputs = f"{len(few)} of {inputs}"
    values, quantizers = value_accuracy(before, after, pair, report.steps)
    return Accuracy(inputs, values, quantizers, samples.output, samples.confusion, samples.worst), samples


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
