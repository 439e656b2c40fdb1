"""The summary in terminals of any width."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from vggc.pattern.context import NodePrecision
from vggc.report.record import Decline, ModelCost, Report, StepRecord
from vggc.report.terminal_tables import summary

COST = ModelCost(24, 322_000, 2_410_000, 1_290_000)


def shown(width: int, *steps: StepRecord) -> list[list[str]]:
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(summary(Report({}, {}, "end", steps=list(steps), version="0"), Path("out")))
    return [line.split() for line in captured.get().splitlines()]


def step(name: str, *declined: Decline) -> StepRecord:
    return StepRecord(name, "digits.opt:7", True, {"fold": 6}, list(declined), 0.02, COST, COST)


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (120, "step line changes nodes params MACs bytes seconds"),
        (80, "step line changes nodes params MACs bytes seconds"),
        (72, "step line changes nodes params MACs bytes"),
        (60, "step line changes nodes MACs"),
        (40, "step changes nodes MACs"),
    ],
)
def test_columns_go_before_words_break(width: int, header: str) -> None:
    lines = shown(width, step("fold_batch_norm"))
    assert lines[0] == header.split()
    assert lines[1][:3] == ["model", "as", "read"]
    assert lines[2][0] == "fold_batch_norm"
    assert len(lines) == 3


def test_declines_have_a_column_where_there_are_some() -> None:
    lines = shown(100, step("simplify"), step("fold_batch_norm", Decline("Conv `a`", "why", 2)))
    assert lines[0][:4] == ["step", "line", "changes", "declined"]
    assert lines[2][2:4] == ["6", "24"]
    assert lines[3][2:5] == ["6", "2", "24"]


def test_nodes_in_a_higher_precision_are_a_table() -> None:
    record = step("quantize")
    kept = [NodePrecision(f"Conv `[{index}]`", "fp16", 2e-3, 0.5) for index in range(13)]
    record.precisions = [*kept, NodePrecision("Gemm `c`", "int8", 1e-5, 0.25)]
    lines = shown(100, record)
    at = lines.index(["node", "precision", "error", "in", "int8", "ms", "saved", "by", "int8"])
    assert lines[at + 1] == ["Conv", "`[0]`", "fp16", "2.0e-03", "0.5"]
    assert lines[at + 12] == ["Conv", "`[11]`", "fp16", "2.0e-03", "0.5"]
    assert lines[at + 13] == ["and", "1", "more,", "in", "report.html"]
    assert not any("Gemm" in line for line in lines)


def test_sensitivity_is_a_table_of_bars_the_worst_first() -> None:
    record = step("sensitivity")
    record.sensitivity = {"Conv `a`": 1e-5, "Conv `[b]`": 2e-5, "Gemm `c`": 0.0}
    lines = shown(100, record)
    at = lines.index(["sensitivity"])
    assert lines[at + 1] == ["Conv", "`[b]`", "2.0e-05", "#" * 30]
    assert lines[at + 2] == ["Conv", "`a`", "1.0e-05", "#" * 15]
    assert lines[at + 3] == ["Gemm", "`c`", "0.0e+00"]
