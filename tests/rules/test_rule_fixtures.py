"""Every case of tests/rules/*.txt: rules, a graph, and the graph they make of it; run before and after, and compared.

A case is `=== title`, comments (`#`), optional lines `use "FILE"` (of recipes/rules), `apply: rule, rule` (all rules of
the case, if nothing is said) and `declines: node: reason`, `rule` blocks, a graph in onnx.parser's text, `---`, and the
graph after, `unchanged`, or `error: message`. Weights are declared behind the graph's inputs by type alone and filled
with numbers seeded by the title; a name with `var` or `div` in it gets positive ones. A graph without a header has
opset 17. Each application is also proved where it happens.
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
import onnx.printer
import pytest
from numpy.typing import NDArray

from vggc.compare import compare
from vggc.diagnostics import CompileError, Diagnostics
from vggc.grammar import syntax
from vggc.grammar.parser import parse
from vggc.grammar.reading import read_recipe
from vggc.graph import Graph
from vggc.inputs import random_inputs
from vggc.pattern.binding import bind_rule
from vggc.rewrite import Rule, check_rules, rules_pass
from vggc.source import Source

HEADER = re.compile(r"^=== (?P<title>.+)$", re.MULTILINE)
GRAPH = re.compile(r"^(<|\w+ \()", re.MULTILINE)
LIBRARY = Path(__file__).parents[2] / "recipes" / "rules"


@dataclass(frozen=True)
class Case:
    """One case."""

    file: Path
    title: str
    head: str
    before: str
    expected: str

    @property
    def declines(self) -> set[str]:
        return set(re.findall(r"^declines: (.+)$", self.head, re.MULTILINE))

    def rules(self) -> list[Rule]:
        """The rules to apply, bound."""
        sources = [read_recipe(LIBRARY / each) for each in re.findall(r'^use "(.+)"$', self.head, re.MULTILINE)]
        own = re.sub(r"^(use|apply|declines)\b.*$", "", self.head, flags=re.MULTILINE)
        sources += [Source(self.file.name, own)] if own.strip() else []
        found = Diagnostics()
        rules = [
            bind_rule(statement, found)
            for source in sources
            for statement in parse(source).statements
            if isinstance(statement, syntax.Rule)
        ]
        assert not found.messages
        named = re.search(r"^apply: (.+)$", self.head, re.MULTILINE)
        wanted = re.split(r",\s*", named[1]) if named else [each.name for each in rules]
        by_name = {each.name: each for each in rules}
        return [by_name[each] for each in wanted]


def read_cases(file: Path) -> list[Case]:
    text = file.read_text(encoding="utf-8")
    starts = list(HEADER.finditer(text))
    ends = [each.start() for each in starts[1:]] + [len(text)]
    cases = []
    for start, end in zip(starts, ends, strict=True):
        before, separator, expected = text[start.end() : end].partition("\n---\n")
        graph = GRAPH.search(before)
        if not separator or graph is None:
            raise ValueError(f"{file.name}: case {start['title']!r} has no graph or no line `---`")
        head = "\n".join(line for line in before[: graph.start()].splitlines() if not line.startswith("#"))
        cases.append(Case(file, start["title"], head, before[graph.start() :].strip(), expected.strip()))
    if len({each.title for each in cases}) < len(cases):
        raise ValueError(f"{file.name} has two cases of one title")
    return cases


def write_expected(case: Case, expected: str) -> None:
    text = case.file.read_text(encoding="utf-8")
    start = text.index(f"=== {case.title}\n")
    middle = text.index("\n---\n", start) + len("\n---\n")
    following = HEADER.search(text, middle)
    rest = "\n" + text[following.start() :] if following else ""
    case.file.write_text(text[:middle] + expected + "\n" + rest, encoding="utf-8")


def parse_graph(case: Case) -> Graph:
    """The graph of a case; what has a type and neither a value nor a producer is a weight."""
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
    graph = Graph.from_model(model)
    graph.infer_shapes(check=all(not node.domain for node in model.graph.node))
    return graph


def weight(random: np.random.Generator, name: str, shape: list[int]) -> NDArray[Any]:
    values = np.asarray(random.standard_normal(shape))
    if "var" in name or "div" in name:
        return np.abs(values) + 0.5
    return values / np.sqrt(max(1, np.prod(shape[1:]))) if len(shape) > 1 else values


def canonical(graph: Graph) -> str:
    """A graph as fixtures show it: no names of nodes, no inferred shapes, float weights by type only."""
    model = graph.export(1 << 40).model
    for node in model.graph.node:
        node.ClearField("name")
        node.ClearField("metadata_props")
        for attribute in node.attribute:
            for inner in attribute.g.node:
                inner.ClearField("name")
                inner.ClearField("metadata_props")
            del attribute.g.value_info[:]
    del model.graph.value_info[:]
    for tensor in list(model.graph.initializer):
        array = onnx.numpy_helper.to_array(tensor)
        telling = array.dtype.kind in "iub" or (array.size < 9 and bool((array == np.round(array)).all()))
        if not telling or array.size > 16:
            info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            model.graph.value_info.append(info)
            model.graph.initializer.remove(tensor)
    model.graph.name = "g"
    text = onnx.printer.to_text(model.graph).replace("=  {", "= {")
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip()


CASES = [case for file in sorted(Path(__file__).parent.glob("*.txt")) for case in read_cases(file)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.stem}: {case.title}")
def test_case(case: Case, bless: bool) -> None:
    before, after = parse_graph(case), parse_graph(case)
    rules = case.rules()
    assert not check_rules(rules, before)
    after.prove = "come to an end" not in case.expected
    apply = rules_pass(rules)
    if case.expected.startswith("error: "):
        with pytest.raises(CompileError) as caught:
            apply(after)
        assert f"error: {caught.value.diagnostics[0].message}" == case.expected
        return
    apply(after)
    after.tidy()
    declined = {f"{what}: {reason}" for what, reason in after.log.declined}
    assert case.declines <= declined, declined
    after.infer_shapes(check=all(not node.domain for node in after.nodes))
    if all(not node.domain for node in before.nodes):
        found = compare(before, after, random_inputs(before))
        assert found.ok, str(found.worst)
    text = canonical(after)

    again = Graph.from_model(after.export(1 << 40).model)
    again.infer_shapes()
    apply(again)
    assert canonical(again) == text, "a second run changes more"
    assert not again.log.changes

    if case.expected == "unchanged":
        assert text == canonical(before)
        assert not after.log.changes
    elif bless and text != case.expected:
        write_expected(case, text)
    else:
        assert text == case.expected
