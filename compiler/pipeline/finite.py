"""Check that a step which changes results on purpose leaves them numbers: NaN and infinity are never its purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.execution.array_distance import has_fractions
from vggc.execution.batching import run
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Feeds
from vggc.graph.signature import inputs_of
from vggc.pipeline.model import BoundData, BoundStep
from vggc.pipeline.paired_inputs import DATA_SAMPLES


def check_finite(step: BoundStep, graph: Graph, as_read: Callable[[], Graph], data: BoundData, doing: str) -> None:
    """Raise CompileError at a step whose graph has NaN or infinite outputs on samples where the model has numbers.

    The model as read runs only when there are such outputs. A graph that onnxruntime does not run is left to the check
    of the written model, which reports it.
    """
    feeds = _first_samples(data, graph)
    try:
        after = run(Session(graph), feeds)
    except CompileError:
        return
    wrong = [name for name, array in after.items() if _is_float(array) and not np.isfinite(array).all()]
    if not wrong:
        return
    original = as_read()
    before = run(Session(original), _first_samples(data, original))
    lost = [name for name in wrong if _loses_numbers(before.get(name), after[name])]
    if lost:
        raise CompileError(
            Diagnostic(
                f"`{step.name}` makes NaN or infinite numbers of output `{lost[0]}` "
                f"on the first {DATA_SAMPLES} samples of data `{data.name}`",
                step.span,
                doing,
                help="exclude the nodes that cause this (`keep` of cast, `except` of quantize); "
                "vggc diff shows where two models diverge",
                code=Code.NOT_FINITE_RESULT,
            )
        )


def _first_samples(data: BoundData, graph: Graph) -> Feeds:
    return next(iter(data.load().fit(inputs_of(graph)).batches(DATA_SAMPLES, limit=DATA_SAMPLES)))


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and has_fractions(array.dtype)


def _loses_numbers(before: Any, after: Any) -> bool:
    """Whether numbers of an output became NaN or infinite."""
    if not _is_float(before) or before.shape != after.shape:
        return False
    return bool((np.isfinite(before) & ~np.isfinite(after)).any())
