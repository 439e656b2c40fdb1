"""Requirements: their measurement when a recipe reaches one, and the message when it is not met; and objectives."""

from __future__ import annotations

import math
from pathlib import Path

from vggc.diagnostics import Code, Diagnostic, RequirementNotMet, at
from vggc.measures import Timing, format_value
from vggc.pipeline.conditions import State
from vggc.pipeline.model import BoundGate, BoundObjective
from vggc.report.record import Objective, Requirement

_NOT_MET = {"fail": "failed", "warn": "warned", "rollback": "rolled back"}


def judge(gate: BoundGate, state: State, steps: int) -> Requirement:
    """Measure both sides of a requirement; `steps` is the number of steps that have run.

    Raises CompileError, placed at the condition, when a side cannot be measured.
    """
    with at(gate.span):
        left, right = gate.condition.sides(state)
    held = gate.condition.holds(left, right)
    return Requirement(
        line=f"{Path(gate.span.source.path).name}:{gate.span.line}",
        text=gate.text,
        measured=format_value(left, gate.condition.left.kind),
        wanted=f"{gate.condition.relation} {format_value(right, gate.condition.right.kind)}",
        outcome="held" if held else _NOT_MET[gate.otherwise],
        value=left if math.isfinite(left) else None,
        limit=right if math.isfinite(right) else None,
        kind=gate.condition.left.kind,
        after=steps,
    )


def measure_objective(objective: BoundObjective, state: State) -> Objective:
    """Measure an objective on the compiled model and on the model as read. Raises CompileError at its place."""
    measured = objective.measured
    with at(objective.span):
        value = state.measure(measured.measure, measured.options)
        first = state.original(measured.measure, measured.options)
    return Objective(
        line=f"{Path(objective.span.source.path).name}:{objective.span.line}",
        direction=objective.direction,
        text=objective.text,
        measured=format_value(value, measured.kind),
        original=format_value(first, measured.kind),
        value=value if math.isfinite(value) else None,
        first=first if math.isfinite(first) else None,
        kind=measured.kind,
        noise=value.noise if isinstance(value, Timing) else None,
    )


def warning(result: Requirement) -> str:
    """The warning for a requirement with `else warn` that is not met."""
    return f"requirement not met: {result.text}: measured {result.measured}, wanted {result.wanted}"


def failure(gate: BoundGate, result: Requirement) -> RequirementNotMet:
    """The error for a requirement that is not met."""
    return RequirementNotMet(
        Diagnostic(
            f"requirement not met: {result.text}",
            gate.span,
            facts=(("measured", result.measured), ("wanted", result.wanted)),
            help="`else rollback` undoes the steps since the last gate that held; `else warn` continues",
            code=Code.REQUIREMENT,
        )
    )
