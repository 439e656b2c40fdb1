"""Conditions, bound from their text and evaluated on a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest

from vggc.binding import bind
from vggc.binding.registry import Registry
from vggc.diagnostics import CompileError
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.graph import Graph
from vggc.pipeline.conditions import combined, comparable
from vggc.pipeline.model import BoundGate, BoundWhen

MODEL = """
<ir_version: 10, opset_import: ["": 17, "com.microsoft": 1]>
agraph (float[N, 8] image, float[8] scale, bool flag) => (float[N, 8] out)
{
    a = Relu(image)
    b = com.microsoft.Gelu(a)
    out = If (flag) <
        then_branch = yes () => (float[N, 8] c) { c = Mul(b, scale) },
        else_branch = no () => (float[N, 8] d) { d = Sub(b, scale) }
    >
}
"""


class State:
    """A running compile whose measures are given."""

    def __init__(self, now: dict[str, float], then: dict[str, float] | None = None) -> None:
        self.graph = Graph.from_model(onnx.parser.parse_model(MODEL))
        self.now, self.then = now, then or {}
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []

    def measure(self, measure: Any, options: Mapping[str, Any]) -> float:
        self.asked.append(("now", measure.name, options))
        return self.now[measure.name]

    def original(self, measure: Any, options: Mapping[str, Any]) -> float:
        self.asked.append(("original", measure.name, options))
        return self.then[measure.name]


@pytest.fixture
def bound(vocabulary: Registry, tmp_path: Path) -> Any:
    (tmp_path / "test.npz").touch()

    def bound(text: str) -> Any:
        declared = (
            'param limit = 3\nparam fast = true\nparam mode = entropy\nparam note = "x"\ndata test = npz("test.npz")\n'
        )
        source = Source(str(tmp_path / "recipe.opt"), declared + text)
        (statement,) = bind(parse(source), registry=vocabulary).body
        assert isinstance(statement, BoundGate | BoundWhen)
        return statement.condition

    return bound


@pytest.mark.parametrize(
    ("requirement", "now", "then", "held"),
    [
        ("accuracy(test) >= original - 1%", 0.92, 0.93, True),
        ("accuracy(test) >= original - 1%", 0.9199, 0.93, False),
        ("original - 1% <= accuracy(test)", 0.92, 0.93, True),
        ("accuracy(test) > original - 1%", 0.92, 0.93, False),
        ("accuracy(test) >= 0.9", 0.9, 0, True),
        ("accuracy(test) - original >= -1%", 0.92, 0.93, True),
        ("accuracy(test) == original", 0.1 + 0.2, 0.3, True),
        ("accuracy(test) != original", 0.1 + 0.2, 0.3, False),
        ("accuracy(test) < 100% - 5%", 0.94, 0, True),
        ("accuracy(test) >= 99% of original", 0.99, 1.0, True),
        ("accuracy(test) >= original", math.nan, 0.5, False),
        ("accuracy(test) < original", math.nan, 0.5, False),
        ("accuracy(test) != original", 0.5, math.nan, False),
    ],
)  # fmt: skip
def test_requirements(bound: Any, requirement: str, now: float, then: float, held: bool) -> None:
    condition = bound(f"require {requirement}\n")
    state = State({"accuracy": now}, {"accuracy": then})
    assert condition.evaluate(state) is held
    assert condition.holds(*condition.sides(state)) is held


@pytest.mark.parametrize(
    ("requirement", "held"),
    [
        ("size <= 30% of original", True),
        ("size <= 29% of original", False),
        ("size <= 3KB", True),
        ("size <= original / 4 + 500KB / 1000", True),
        ("original - size >= 7KB", True),
        ("size / original <= 30%", True),
        ("2 * latency(batch=2) <= 4ms", True),
        ("nodes < 100", True),
        ("nodes < 10 * limit", False),
        ("opset >= 17", True),
    ],
)
def test_units(bound: Any, requirement: str, held: bool) -> None:
    state = State({"size": 3000, "latency": 0.002, "nodes": 48}, {"size": 10_000})
    assert bound(f"require {requirement}\n").evaluate(state) is held


def test_a_measure_is_asked_once_with_its_options(bound: Any) -> None:
    state = State({"latency": 1.0}, {"latency": 2.0})
    condition = bound("require latency(batch=4) <= original\n")
    condition.sides(state)
    assert state.asked == [("now", "latency", {"batch": 4}), ("original", "latency", {"batch": 4})]


@pytest.mark.parametrize(
    ("condition", "held"),
    [
        ("has(Relu)", True),
        ("has(Mul)", True),
        ("has(Conv)", False),
        ("has(com.microsoft.Gelu)", True),
        ("has(Gelu)", False),
        ("not has(Conv) and has(Relu)", True),
        ("has(Conv) or has(Relu) and nodes > 3", False),
        ("dynamic", True),
        ('dynamic("image")', True),
        ('dynamic("scale")', False),
        ("opset < 13", False),
        ("limit > 2", True),
        ("fast", True),
        ("not fast", False),
        ("fast == false", False),
        ("mode == entropy", True),
        ("minmax == mode", False),
        ("mode != minmax", True),
        ('note == "x"', True),
        ("true", True),
    ],
)
def test_conditions(bound: Any, condition: str, held: bool) -> None:
    assert bound(f"when {condition} {{ simplify }}\n").evaluate(State({"nodes": 3})) is held


def test_what_is_decided_already_is_not_measured(bound: Any) -> None:
    state = State({})
    assert bound("when has(Relu) or accuracy(test) > 0.5 { simplify }\n").evaluate(state) is True
    assert bound("when has(Conv) and accuracy(test) > 0.5 { simplify }\n").evaluate(state) is False
    assert state.asked == []


def test_an_input_that_is_not_there(bound: Any) -> None:
    condition = bound('when dynamic("imgae") { simplify }\n')
    with pytest.raises(CompileError) as caught:
        condition.evaluate(State({}))
    (found,) = caught.value.diagnostics
    assert found.message == "the model has no input `imgae`"
    assert found.help == "its inputs: `image`, `scale`, `flag`"
    assert found.span is not None and found.span.text == 'dynamic("imgae")'


def test_division_by_a_measure_that_is_zero(bound: Any) -> None:
    condition = bound("require size / original <= 30%\n")
    with pytest.raises(CompileError, match="division by zero") as caught:
        condition.evaluate(State({"size": 1}, {"size": 0}))
    span = caught.value.diagnostics[0].span
    assert span is not None and span.text == "size / original"


def test_units_that_combine() -> None:
    assert combined("of", "ratio", "bytes") == "bytes"
    assert combined("*", "bytes", "number") == "bytes"
    assert combined("/", "bytes", "bytes") == "number"
    assert combined("-", "bytes", "ratio") is None
    assert combined("*", "bytes", "bytes") is None
    assert combined("/", "number", "bytes") is None
    assert combined("of", "bytes", "bytes") is None
    assert comparable("ratio", "number") and not comparable("ratio", "quantity") and not comparable("bytes", "number")
