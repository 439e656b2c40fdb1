"""Graphs before and after, as fixtures are written and read; the tests that run them get this file as `cases`.

A case is `=== title`, what a kind of fixture has to say, a graph in onnx.parser's text, `---`, and what is expected.
Weights are declared behind the graph's inputs by type alone and filled with numbers seeded by the title; a name with
`var` or `div` in it gets positive ones, one with `tiny` tiny ones. A graph without a header has opset 17.
"""

from __future__ import annotations

import ast
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx.printer
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from vggc.execution.batching import run
from vggc.execution.session import Session
from vggc.graph import Graph

HEADER = re.compile(r"^=== (?P<title>.+)$", re.MULTILINE)
CALL = re.compile(r"^pass: (?P<name>\w+)(\((?P<options>.*)\))?$")
SIZES = {"N": 3, "M": 5, "H": 12, "W": 10, "batch": 3}
"""What the named dimensions of a case are when it runs."""

WITHOUT_KERNELS = (onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
"""Types in which onnxruntime's CPU provider has few operators: there the reference implementation runs."""


@dataclass(frozen=True)
class Case:
    """One case: its graph's text, and the text behind `---`."""

    file: Path
    title: str
    before: str
    expected: str


@dataclass(frozen=True)
class PassCase(Case):
    """One case of a file named after the pass it is about."""

    name: str
    options: dict[str, Any]
    declines: tuple[str, ...]


ReadCase = Callable[[Path, str, str, str], Case]


def pass_case(file: Path, title: str, before: str, expected: str) -> PassCase:
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
    return PassCase(file, title, "\n".join(lines), expected, name, options, tuple(declines))


def read_cases(file: Path, read: ReadCase = pass_case) -> list[Any]:
    """The cases of a file; `read` makes one of its file, its title, and what stands before and behind its `---`."""
    text = file.read_text(encoding="utf-8")
    starts = list(HEADER.finditer(text))
    ends = [each.start() for each in starts[1:]] + [len(text)]
    cases = []
    for start, end in zip(starts, ends, strict=True):
        before, separator, expected = text[start.end() : end].partition("\n---\n")
        if not separator:
            raise ValueError(f"{file.name}: case {start['title']!r} has no line `---`")
        cases.append(read(file, start["title"], before, expected.strip()))
    if len({each.title for each in cases}) < len(cases):
        raise ValueError(f"{file.name} has two cases of one title")
    return cases


def write_expected(case: Case, expected: str) -> None:
    """Replace what stands behind a case's `---`."""
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


def canonical(graph: Graph, shown: int = 2) -> str:
    """A graph as fixtures show it: no names of nodes, no inferred shapes, float weights by type only.

    Those of whole numbers are shown if there are at most `shown` of them.
    """
    model = graph.export(1 << 40).model
    for node in model.graph.node:
        node.ClearField("name")
        node.ClearField("metadata_props")
        for attribute in (each for each in node.attribute if each.HasField("g")):
            for inner in attribute.g.node:
                inner.ClearField("name")
                inner.ClearField("metadata_props")
            del attribute.g.value_info[:]
    del model.graph.value_info[:]
    for tensor in list(model.graph.initializer):
        array = onnx.numpy_helper.to_array(tensor)
        telling = array.dtype.kind in "iub" or (array.size <= shown and bool((array == np.round(array)).all()))
        if not telling or array.size > 16:
            info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.value_info.append(info)
            model.graph.initializer.remove(tensor)
    model.graph.name = "g"
    text = onnx.printer.to_text(model.graph).replace("=  {", "= {")
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip()


def feeds(graph: Graph, title: str) -> dict[str, NDArray[Any]]:
    """What a case's graph is run on, seeded by the title."""
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
