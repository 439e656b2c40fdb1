"""Every case of tests/passes/<pass>.txt: the graph after, numerically checked, and nothing left for a second run.

A case is as tests/cases.py tells: comments (`#`), optional lines `pass: name(option=value)` and `declines: reason`
before its graph, and expected is the graph after, `unchanged`, or `error: message`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from vggc.binding.modules import import_file
from vggc.data import Dataset
from vggc.data.dataset import SampleType
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.rewrite import ChangeLog, Context, Declined, Pass

cases = import_file(Path(__file__).parents[1] / "cases.py")
CASES = [case for file in sorted(Path(__file__).parent.glob("*.txt")) for case in cases.read_cases(file)]

FOLDING = {"float64": 1e-14, "float32": 5e-7, "float16": 5e-4, "bfloat16": 8e-3}
TOLERANCE = {"fold_batch_norm": FOLDING, "remove_dead_channels": FOLDING}
"""Relative error allowed by output type; a pass that is not listed must not change a bit."""

LOSSY = {"cast": 1e-2, "quantize": 0.2, "strip_qdq": 0.05}
"""Relative error allowed of passes that change what a model computes."""

REFUSED_TWICE = {"quantize": "the model is already quantized"}
"""What passes say of their own results, when they do not just leave them as they are."""


def apply(case: Any, graph: Graph) -> ChangeLog:
    found = getattr(import_module(f"vggc.passes.{case.name}"), case.name)
    assert isinstance(found, Pass)
    assert found.exact is (case.name not in LOSSY)
    given = {"data": SeededData(graph, case.title)} if "data" in signature(found.function).parameters else {}
    context = Context()
    try:
        found(graph, **given, **case.options, context=context)
    except Declined as reason:
        context.decline(found.name, str(reason))
    graph.tidy()
    return context.log


class SeededData(Dataset):
    """Samples for passes that want some, from the case's title."""

    name = "calib"
    description = "seeded"
    labels = None

    def __init__(self, graph: Graph, title: str, count: int = 64) -> None:
        random = np.random.default_rng(zlib.crc32(title.encode()) + 2)
        self._arrays = {}
        for value in graph.inputs:
            shape = [
                cases.SIZES[each] if isinstance(each, str) else int(each or 0)
                for each in (graph.shape(value) or ())[1:]
            ]
            numbers = random.standard_normal((count, *shape)).astype(graph.dtype(value))
            self._arrays[value.name] = numbers
        self._count = count
        self.arrays = {name: SampleType(each.dtype, each.shape[1:]) for name, each in self._arrays.items()}

    def __len__(self) -> int:
        return self._count

    def parts(self) -> Iterator[dict[str, NDArray[Any]]]:
        yield self._arrays


def check_same(case: Any, before: Graph, after: Graph) -> None:
    given = cases.feeds(after, case.title)
    expected, got = cases.execute(before, given), cases.execute(after, given)
    assert list(expected) == list(got)
    for name, numbers in expected.items():
        assert got[name].dtype == numbers.dtype
        assert got[name].shape == numbers.shape
        allowed = LOSSY.get(case.name) or TOLERANCE.get(case.name, {}).get(numbers.dtype.name, 0.0)
        want, have = numbers.astype(np.float64), got[name].astype(np.float64)
        assert (np.isnan(want) == np.isnan(have)).all()
        difference, largest = np.nanmax(np.abs(have - want), initial=0.0), np.nanmax(np.abs(want), initial=0.0)
        assert difference <= allowed * largest, f"`{name}` is off by {difference / largest}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.stem}: {case.title}")
def test_case(case: Any, bless: bool) -> None:
    model = cases.parse(case)
    onnx.checker.check_model(model, full_check=True)
    before, after = Graph.from_model(model), Graph.from_model(model)
    if case.expected.startswith("error: "):
        with pytest.raises(CompileError) as caught:
            apply(case, after)
        diagnostic = caught.value.diagnostics[0]
        assert f"error: {diagnostic.message} [{diagnostic.code.id}]" == case.expected
        return
    log = apply(case, after)
    declined = {f"{what}: {reason}" for what, reason in log.declined}
    assert set(case.declines) <= declined, declined
    onnx.checker.check_model(after.export(1 << 40).model, full_check=True)
    check_same(case, before, after)
    text = cases.canonical(after)

    again = Graph.from_model(after.export(1 << 40).model)
    if case.name in REFUSED_TWICE and log.changes:
        with pytest.raises(CompileError, match=REFUSED_TWICE[case.name]):
            apply(case, again)
    else:
        second = apply(case, again)
        assert cases.canonical(again) == text, "a second run changes more"
        assert not second.changes

    if case.expected == "unchanged":
        assert text == cases.canonical(before)
        assert not log.changes
    elif bless and text != case.expected:
        cases.write_expected(case, text)
    else:
        assert text == case.expected
