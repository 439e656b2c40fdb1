"""Every case of tests/passes/<pass>.txt: the graph after, numerically checked, and nothing left for a second run.

A case is `=== title`, comments (`#`), optional lines `pass: name(option=value)` and `declines: reason`, a graph in
onnx.parser's text, `---`, and the graph after, `unchanged`, or `error: message`. Weights are declared behind the
graph's inputs by type alone and filled with numbers seeded by the title; a name with `var` or `div` in it gets
positive ones, one with `tiny` tiny ones. A graph without a header has opset 17.
"""

from __future__ import annotations

import ast
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx.printer
import pytest
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from vggc.data import Dataset
from vggc.data.dataset import SampleType
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.pieces import run
from vggc.rewrite import Declined, Pass
from vggc.runtime import Session

HEADER = re.compile(r"^=== (?P<title>.+)$", re.MULTILINE)
CALL = re.compile(r"^pass: (?P<name>\w+)(\((?P<options>.*)\))?$")
SIZES = {"N": 3, "M": 5, "H": 12, "W": 10, "batch": 3}
"""What the named dimensions of a case are when it runs."""

WITHOUT_KERNELS = (onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
"""Types in which onnxruntime's CPU provider has few operators: there the reference implementation runs."""

FOLDING = {"float64": 1e-14, "float32": 5e-7, "float16": 5e-4, "bfloat16": 8e-3}
TOLERANCE = {"fold_batch_norm": FOLDING, "remove_dead_channels": FOLDING}
"""Relative error allowed by output type; a pass that is not listed must not change a bit."""

LOSSY = {"cast": 1e-2, "quantize": 0.2, "strip_qdq": 0.05}
"""Relative error allowed of passes that change what a model computes."""

REFUSED_TWICE = {"quantize": "the model is quantized already"}
"""What passes say of their own results, when they do not just leave them as they are."""


@dataclass(frozen=True)
class Case:
    """One case of a file named after the pass it is about."""

    file: Path
    title: str
    name: str
    options: dict[str, Any]
    declines: tuple[str, ...]
    before: str
    expected: str


def read_cases(file: Path) -> list[Case]:
    text = file.read_text(encoding="utf-8")
    starts = list(HEADER.finditer(text))
    ends = [each.start() for each in starts[1:]] + [len(text)]
    cases = [read_case(file, start["title"], text[start.end() : end]) for start, end in zip(starts, ends, strict=True)]
    titles = [each.title for each in cases]
    if len(set(titles)) < len(titles):
        raise ValueError(f"{file.name} has two cases of one title")
    return cases


def read_case(file: Path, title: str, body: str) -> Case:
    before, separator, expected = body.partition("\n---\n")
    if not separator:
        raise ValueError(f"{file.name}: case {title!r} has no line `---`")
    name, options = file.stem, {}
    declines = []
    lines = [line for line in before.strip().splitlines() if not line.startswith("#")]
    while call := CALL.match(lines[0]):
        name = call["name"]
        keywords = ast.parse(f"f({call['options'] or ''})", mode="eval").body.keywords  # type: ignore[attr-defined]
        options = {each.arg: ast.literal_eval(each.value) for each in keywords}
        lines.pop(0)
    while lines[0].startswith("declines: "):
        declines.append(lines.pop(0).removeprefix("declines: "))
    return Case(file, title, name, options, tuple(declines), "\n".join(lines), expected.strip())


def write_expected(case: Case, expected: str) -> None:
    text = case.file.read_text(encoding="utf-8")
    start = text.index(f"=== {case.title}\n")
    middle = text.index("\n---\n", start) + len("\n---\n")
    following = HEADER.search(text, middle)
    rest = "\n" + text[following.start() :] if following else ""
    case.file.write_text(text[:middle] + expected + "\n" + rest, encoding="utf-8")


def parse(case: Case) -> onnx.ModelProto:
    """The model of a case; what has a type and neither a value nor a producer is a weight."""
    header = "" if case.before.startswith("<") else '<ir_version: 8, opset_import: ["": 17]>\n'
    model = onnx.parser.parse_model(header + case.before)
    made = {name for node in model.graph.node for name in node.output}
    random = np.random.default_rng(zlib.crc32(case.title.encode()))
    for info in [each for each in model.graph.value_info if each.name not in made]:
        kind = info.type.tensor_type
        shape = [dimension.dim_value for dimension in kind.shape.dim]
        array = weight(random, info.name, shape).astype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, info.name))
        model.graph.value_info.remove(info)
    return model


def weight(random: np.random.Generator, name: str, shape: list[int]) -> NDArray[Any]:
    values = np.asarray(random.standard_normal(shape))
    if "var" in name or "div" in name:
        return np.abs(values) + 0.5
    if "tiny" in name:
        return values * 1e-4
    return values / np.sqrt(max(1, np.prod(shape[1:]))) if len(shape) > 1 else values


def canonical(graph: Graph) -> str:
    """A graph as fixtures show it: no names of nodes, no inferred shapes, float weights by type only."""
    model = graph.export(1 << 40).model
    for node in model.graph.node:
        node.ClearField("name")
        node.ClearField("metadata_props")
    del model.graph.value_info[:]
    for tensor in list(model.graph.initializer):
        array = onnx.numpy_helper.to_array(tensor)
        telling = array.dtype.kind in "iub" or (array.size < 3 and bool((array == np.round(array)).all()))
        if not telling or array.size > 16:
            info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.value_info.append(info)
            model.graph.initializer.remove(tensor)
    model.graph.name = "g"
    text = onnx.printer.to_text(model.graph).replace("=  {", "= {")
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip()


def apply(case: Case, graph: Graph) -> None:
    found = getattr(import_module(f"vggc.passes.{case.name}"), case.name)
    assert isinstance(found, Pass)
    assert found.exact is (case.name not in LOSSY)
    given = {"data": SeededData(graph, case.title)} if "data" in signature(found.function).parameters else {}
    try:
        found(graph, **given, **case.options)
    except Declined as reason:
        graph.decline(found.name, str(reason))
    graph.tidy()


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
                SIZES[each] if isinstance(each, str) else int(each or 0) for each in (graph.shape(value) or ())[1:]
            ]
            numbers = random.standard_normal((count, *shape)).astype(graph.dtype(value))
            self._arrays[value.name] = numbers
        self._count = count
        self.arrays = {name: SampleType(each.dtype, each.shape[1:]) for name, each in self._arrays.items()}

    def __len__(self) -> int:
        return self._count

    def parts(self) -> Iterator[dict[str, NDArray[Any]]]:
        yield self._arrays


def feeds(graph: Graph, title: str) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(zlib.crc32(title.encode()) + 1)
    made = {}
    for value in graph.inputs:
        shape = [each if isinstance(each, int) else SIZES[str(each)] for each in graph.shape(value) or ()]
        dtype = graph.dtype(value)
        assert dtype is not None
        whole = dtype.kind in "iub"
        made[value.name] = (random.integers(0, 2, shape) if whole else random.standard_normal(shape)).astype(dtype)
    return made


def execute(graph: Graph, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    model = graph.export(1 << 40).model
    if any(each.type.tensor_type.elem_type in WITHOUT_KERNELS for each in model.graph.input):
        return dict(
            zip([value.name for value in graph.outputs], ReferenceEvaluator(model).run(None, given), strict=True)
        )
    return run(Session(graph), given)


def check_same(case: Case, before: Graph, after: Graph) -> None:
    given = feeds(after, case.title)
    expected, got = execute(before, given), execute(after, given)
    assert list(expected) == list(got)
    for name, numbers in expected.items():
        assert got[name].dtype == numbers.dtype
        assert got[name].shape == numbers.shape
        allowed = LOSSY.get(case.name) or TOLERANCE.get(case.name, {}).get(numbers.dtype.name, 0.0)
        want, have = numbers.astype(np.float64), got[name].astype(np.float64)
        assert (np.isnan(want) == np.isnan(have)).all()
        difference, largest = np.nanmax(np.abs(have - want), initial=0.0), np.nanmax(np.abs(want), initial=0.0)
        assert difference <= allowed * largest, f"`{name}` is off by {difference / largest}"


CASES = [case for file in sorted(Path(__file__).parent.glob("*.txt")) for case in read_cases(file)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.stem}: {case.title}")
def test_case(case: Case, bless: bool) -> None:
    model = parse(case)
    onnx.checker.check_model(model, full_check=True)
    before, after = Graph.from_model(model), Graph.from_model(model)
    if case.expected.startswith("error: "):
        with pytest.raises(CompileError) as caught:
            apply(case, after)
        assert f"error: {caught.value.diagnostics[0].message}" == case.expected
        return
    apply(case, after)
    declined = {f"{what}: {reason}" for what, reason in after.log.declined}
    assert set(case.declines) <= declined, declined
    onnx.checker.check_model(after.export(1 << 40).model, full_check=True)
    check_same(case, before, after)
    text = canonical(after)

    again = Graph.from_model(after.export(1 << 40).model)
    if case.name in REFUSED_TWICE and after.log.changes:
        with pytest.raises(CompileError, match=REFUSED_TWICE[case.name]):
            apply(case, again)
    else:
        apply(case, again)
        assert canonical(again) == text, "a second run changes more"
        assert not again.log.changes

    if case.expected == "unchanged":
        assert text == canonical(before)
        assert not after.log.changes
    elif bless and text != case.expected:
        write_expected(case, text)
    else:
        assert text == case.expected
