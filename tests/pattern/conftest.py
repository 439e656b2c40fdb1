"""Rules from text, and graphs from text."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx.parser
import pytest

from vggc.diagnostics import Diagnostics
from vggc.diagnostics.source import Source
from vggc.grammar import syntax
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.pattern.rule_binding import bind_rule
from vggc.rewrite import Rule

MakeRules = Callable[[str], list[Rule]]
MakeGraph = Callable[[str], Graph]


@pytest.fixture
def rules() -> MakeRules:
    """The rules of a text, bound."""

    def make(text: str) -> list[Rule]:
        statements = parse(Source("rules.opt", text)).statements
        return [bind_rule(each, Diagnostics()) for each in statements if isinstance(each, syntax.RuleStatement)]

    return make


@pytest.fixture
def graph() -> MakeGraph:
    """A graph in onnx.parser's text, opset 17, its shapes inferred."""

    def make(text: str) -> Graph:
        made = Graph.from_model(onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]>\n' + text))
        made.infer_shapes()
        return made

    return make
