"""One step: call its pass, and turn whatever goes wrong there into a message at the recipe's line."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx_graphsurgeon as gs

import vggc.recipes
from vggc.analysis.costs import Costs, costs
from vggc.diagnostics import Code, CompileError, Diagnostic, placed
from vggc.grammar.shipped_recipes import is_shipped
from vggc.graph import Graph
from vggc.graph.snapshot import Snapshot
from vggc.pipeline.model import BoundStep
from vggc.report.record import Decline, ModelCost, StepRecord
from vggc.rewrite import Context, Declined, Pass, Rule

_RECIPES = Path(vggc.recipes.__file__).parent


def size_of(counted: Costs) -> ModelCost:
    """Nodes, parameters, MACs of one sample and weight bytes."""
    return ModelCost(len(counted.nodes), counted.params, counted.macs, counted.weight_bytes)


def execute(
    step: BoundStep, graph: Graph, context: Context, options: Mapping[str, Any], *, before: ModelCost, doing: str
) -> tuple[StepRecord, Costs | None]:
    """Run the step's pass on `graph`. Returns what it did, and the costs of the graph after it if it changed something.

    `options` are the step's own with data sets loaded, `before` the size of the graph. Raises CompileError at the
    step's line when the pass refuses, raises, or leaves a graph that is not valid.
    """
    pass_ = step.pass_
    log = context.log
    snapshot = Snapshot(graph)
    started = time.perf_counter()
    apply(step, graph, context, options, doing=doing)
    seconds = time.perf_counter() - started
    if not log.total and snapshot != Snapshot(graph):
        context.record("change that the pass did not record")
    counted = costs(graph) if log.total else None
    after = before if counted is None else size_of(counted)
    declined = [Decline(what, reason, times) for (what, reason), times in log.declined.items()]
    record = StepRecord(pass_.name, step.label, pass_.exact, dict(log.changes), declined, seconds, before, after)
    record.rules = log.rules
    record.channels = log.channels
    record.sensitivity = log.sensitivity
    record.repaired = log.repaired
    record.precisions = log.precisions
    record.notes = log.notes
    return record, counted


def apply(step: BoundStep, graph: Graph, context: Context, options: Mapping[str, Any], *, doing: str) -> None:
    """Run the step's pass on `graph`, without a record of what it did. Raises CompileError like `execute`."""
    pass_ = step.pass_
    try:
        with graph.stamping({"vggc.line": step.label, "vggc.pass": pass_.name}):
            pass_(graph, context=context, **options)
            _settle(graph, pass_)
    except Declined as reason:
        context.decline(pass_.name, str(reason))
        _settle(graph, pass_)
    except CompileError as error:
        raise placed(error, step.span, doing) from None
    except Exception as error:
        if shipped_function(pass_.function):
            raise
        raise _raised(error, step, doing) from None


def shipped(pass_: Pass) -> bool:
    """Whether a pass and its rules are vggc's own: what goes wrong in it is a bug of vggc, not of the user's file."""
    return shipped_function(pass_.function) and all(map(shipped_rule, pass_.rules))


def shipped_rule(rule: Rule) -> bool:
    """Whether a rule is vggc's own: written in Python of vggc's, or in one of its recipes."""
    if rule.function is not None:
        return shipped_function(rule.function)
    if rule.span is None:
        return False
    path = Path(rule.span.source.path)
    return is_shipped(path) or path.resolve().is_relative_to(_RECIPES)


def shipped_function(function: Callable[..., Any]) -> bool:
    """Whether a function is vggc's own."""
    return function.__module__.startswith("vggc.")


def _settle(graph: Graph, pass_: Pass) -> None:
    """Drop what the pass left unused; find new shapes; check what a pass or rules of the user's made."""
    graph.tidy()
    if not shipped(pass_):
        graph.infer_shapes(check=True)
    elif any(value.shape is None or value.dtype is None for value in _results(graph)):
        graph.infer_shapes()


def _results(graph: Graph) -> list[gs.Variable]:
    return [value for node in graph.nodes for value in node.outputs if value.name]


def _raised(error: Exception, step: BoundStep, doing: str) -> CompileError:
    frames = traceback.extract_tb(error.__traceback__)
    own = step.pass_.function.__code__.co_filename
    frame = next((each for each in reversed(frames) if each.filename == own), frames[-1])
    facts = [("raised at", f"{frame.filename}:{frame.lineno}" + (f": {frame.line}" if frame.line else ""))]
    return CompileError(
        Diagnostic(
            f"pass `{step.name}` raised {type(error).__name__}: {error}",
            step.span,
            doing,
            tuple(facts),
            "a pass says `raise Declined(reason)` to leave a graph as it is",
            code=Code.PASS_RAISED,
        )
    )
