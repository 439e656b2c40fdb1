"""What folding batch norms must cover: every exact case as a graph, and every one that must stay.

Folded graphs are held against the unfolded ones evaluated in float64: two float32 runs differ by the rounding of their
sums alone, so that neither could tell what folding did. Both graphs are evaluated with their weights, inputs and
arithmetic widened to float64, which leaves the rounding of the folded weights as the only difference; the folded one
also runs in onnxruntime as it is. Errors are relative to the largest output.

A graph in folding/*.txt is in onnx.parser's text; weights are declared by type alone and seeded by the title. BN stands
for a batch norm with four parameters: `y = BN(c, 4)`; `BN0` shifts nothing, `BN+` has scales above zero, `BN0+` both.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.passes.fold_batch_norm import fold_batch_norm
from vggc.rewrite import ChangeLog

ALLOWED = {"float32": 5e-7, "float16": 5e-4}
HEADER = '<ir_version: 8, opset_import: ["": 17]>'
NORM = re.compile(r"(?P<result>\w+) = BN(?P<kind>0?\+?)\((?P<value>\w+), (?P<channels>\d+)\)")
WIDENED = {TensorProto.FLOAT, TensorProto.FLOAT16}
SIZES = {"N": 3, "H": 7}


@dataclass(frozen=True)
class Case:
    """A graph, and the operators it has afterwards or, where it stays, why the batch norm does."""

    title: str
    text: str
    after: str

    @property
    def model(self) -> onnx.ModelProto:
        random = np.random.default_rng(zlib.crc32(self.title.encode()))
        declared: list[str] = []
        made: dict[str, NDArray[Any]] = {}

        def norm(found: re.Match[str]) -> str:
            channels, number = int(found["channels"]), len(made) // 4
            names = [f"{each}{number}" for each in ("scale", "shift", "mean", "var")]
            values = random.standard_normal((4, channels))
            values[3] = np.abs(values[3]) + 0.5
            if "+" in found["kind"]:
                values[0] = np.abs(values[0]) + 0.1
            if "0" in found["kind"]:
                values[1:3] = 0
            made.update(zip(names, values, strict=True))
            kind = "float16" if "float16" in self.text else "float"
            declared.extend(f"{kind}[{channels}] {name}" for name in names)
            return f"{found['result']} = BatchNormalization ({found['value']}, {', '.join(names)})"

        text = NORM.sub(norm, self.text)
        start, end = re.search(r" <(.*)>$", text, re.MULTILINE).span(1)  # type: ignore[union-attr]
        weights = ", ".join([*filter(None, [text[start:end]]), *declared])
        model = onnx.parser.parse_model(f"{HEADER} {text[:start]}{weights}{text[end:]}")
        computed = {name for node in model.graph.node for name in node.output}
        for info in [each for each in model.graph.value_info if each.name not in computed]:
            tensor = info.type.tensor_type
            dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
            array = made.get(info.name, weight(random, info.name, [each.dim_value for each in tensor.shape.dim], dtype))
            model.graph.initializer.append(numpy_helper.from_array(array.astype(dtype), info.name))
            model.graph.value_info.remove(info)
        for given in model.graph.initializer:
            given.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(given), given.name))
        onnx.checker.check_model(model, full_check=True)
        return model


def read(name: str) -> list[Case]:
    text = (Path(__file__).parent / "folding" / name).read_text(encoding="utf-8")
    cases = []
    for part in text.split("\n=== ")[1:]:
        title, _, body = part.partition("\n")
        graph, _, after = body.partition("\n---\n")
        cases.append(Case(title, graph, after.strip()))
    return cases


def weight(random: np.random.Generator, name: str, shape: list[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind in "iu":
        return random.integers(-127 if dtype.kind == "i" else 0, 128, shape)
    values = np.asarray(random.standard_normal(shape))
    if name.startswith(("div", "step")):
        return (np.abs(values) + 0.5) * (0.02 if name.startswith("step") else 1)
    return values / np.sqrt(max(1, np.prod(shape[1:]))) if len(shape) > 1 and min(shape[:2]) > 1 else values


EXACT, STAYS = read("exact.txt"), read("stays.txt")


def feeds(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(1)
    found = {}
    for each in model.graph.input:
        tensor = each.type.tensor_type
        shape = [dim.dim_value or SIZES[dim.dim_param] for dim in tensor.shape.dim]
        found[each.name] = random.standard_normal(shape).astype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return found


def exact(model: onnx.ModelProto, given: dict[str, NDArray[Any]]) -> list[NDArray[np.float64]]:
    """What a model computes, weights, inputs and arithmetic in float64."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    del wide.graph.value_info[:]
    # The reference has DequantizeLinear from opset 19 on; what it does to these graphs is the same there.
    wide.opset_import[0].version = max(wide.opset_import[0].version, 19)
    for info in (*wide.graph.input, *wide.graph.output):
        if info.type.tensor_type.elem_type in WIDENED:
            info.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in wide.graph.initializer:
        if tensor.data_type in WIDENED:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for node in wide.graph.node:
        if node.op_type == "ConvTranspose":
            ungroup(wide.graph, node)
    return list(ReferenceEvaluator(wide).run(None, {name: each.astype(np.float64) for name, each in given.items()}))


def ungroup(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """One group, zeros between the parts: the reference fails on groups of more than one output channel."""
    (group,) = [each.i for each in node.attribute if each.name == "group"] or [1]
    (tensor,) = [each for each in graph.initializer if each.name == node.input[1]]
    parts = np.split(numpy_helper.to_array(tensor), group)
    dense = np.zeros((sum(map(len, parts)), group * parts[0].shape[1], *parts[0].shape[2:]))
    for at, part in enumerate(parts):
        rows, columns = part.shape[:2]
        dense[at * rows : (at + 1) * rows, at * columns : (at + 1) * columns] = part
    tensor.CopyFrom(numpy_helper.from_array(dense, tensor.name))
    del node.attribute[:]


def error(want: list[NDArray[Any]], got: list[NDArray[Any]]) -> float:
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(want, got, strict=True))


def fold(model: onnx.ModelProto) -> tuple[Graph, ChangeLog]:
    graph = Graph.from_model(model)
    log = fold_batch_norm(graph)
    graph.tidy()
    return graph, log


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case.title)
def test_folds(case: Case) -> None:
    model = case.model
    after, _ = fold(model)
    folded = after.export(1 << 40).model
    onnx.checker.check_model(folded, full_check=True)
    assert sorted(node.op for node in after.nodes) == sorted(case.after.split())
    given = feeds(model)
    want = exact(model, given)
    dtype = next(iter(given.values())).dtype.name
    assert error(want, exact(folded, given)) <= ALLOWED[dtype]
    # float16 results are rounded themselves, once for each operator.
    ran = list(Session(after).run(given).values())
    assert error(want, ran) <= ALLOWED[dtype] * (2 if dtype == "float16" else 1)
    _, second = fold(folded)
    assert not second.changes


@pytest.mark.parametrize("case", STAYS, ids=lambda case: case.title)
def test_stays(case: Case) -> None:
    model = case.model
    before, (after, log) = Graph.from_model(model), fold(model)
    assert [reason for _, reason in log.declined] == [case.after]
    assert not log.changes
    assert without_shapes(after) == without_shapes(before)


def without_shapes(graph: Graph) -> onnx.GraphProto:
    found: onnx.GraphProto = graph.export(1 << 40).model.graph
    del found.value_info[:]
    return found


def test_counts() -> None:
    """The peers were measured on 31 foldable graphs, of which the best folded 18; no title here stands twice."""
    assert len({case.title for case in EXACT}) == len(EXACT) == 50
    assert len({case.title for case in STAYS}) == len(STAYS) == 21
