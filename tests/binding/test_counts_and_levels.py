"""Numbers with k, M, G and dB: what they mean, and what they cannot be compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vggc.binding.bind import bind_text
from vggc.binding.evaluate import number
from vggc.diagnostics import CompileError
from vggc.diagnostics.source import Source
from vggc.grammar import syntax
from vggc.grammar.parser import parse_value
from vggc.options import spell
from vggc.pipeline.model import BoundGate
from vggc.values import Decibels


def read(text: str) -> int | float:
    value = parse_value(Source("test", text))
    assert isinstance(value, syntax.Number)
    return number(value)


@pytest.mark.parametrize(
    ("text", "value"), [("20k", 20_000), ("2M", 2_000_000), ("1.5G", 1_500_000_000), ("0.0005k", 0.5), ("3", 3)]
)
def test_counts_are_plain_numbers(text: str, value: float) -> None:
    assert (read(text), type(read(text))) == (value, type(value))


def test_a_level() -> None:
    level = read("30dB")
    assert isinstance(level, Decibels) and level == 30
    assert spell(level) == "30dB"


def gate(folder: Path, condition: str) -> BoundGate:
    np.savez(folder / "t.npz", x=np.zeros((4, 3), np.float32))
    text = f'data test = npz("t.npz")\nparam least = 30dB\nsimplify\nrequire {condition}\nrequire sqnr(test) >= least\n'
    pipeline = bind_text(text, path=str(folder / "my.opt"))
    return next(each for each in pipeline.body if isinstance(each, BoundGate))


@pytest.mark.parametrize(
    "condition",
    ["sqnr(test) >= 30dB", "sqnr(test) >= 30", "sqnr(test) >= original - 1dB", "params <= 2M", "nodes <= 0.5k"],
)
def test_what_fits(tmp_path: Path, condition: str) -> None:
    assert gate(tmp_path, condition).text == condition


@pytest.mark.parametrize("condition", ["nodes <= 30dB", "size <= 30dB", "latency <= 30dB", "nodes <= original - 3dB"])
def test_what_does_not_fit(tmp_path: Path, condition: str) -> None:
    with pytest.raises(CompileError) as caught:
        gate(tmp_path, condition)
    assert [each.code.id for each in caught.value.diagnostics] == ["VGGC141"]
    assert "dB" in caught.value.diagnostics[0].message


def test_an_option_is_not_a_level() -> None:
    with pytest.raises(CompileError) as caught:
        bind_text("prune_channels(macs=30dB)\ntarget onnx\n")
    (message,) = caught.value.diagnostics
    assert message.message == "`macs` of `prune_channels` must be a ratio, not the level `30dB`"
