"""The values of some sites on samples, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx_graphsurgeon as gs

from vggc.calibration.samples import Samples
from vggc.diagnostics import Code, fail
from vggc.execution.session import Session
from vggc.graph import Graph
from vggc.graph.arrays import Floats

SAMPLES = 256
"""Samples on which alternatives are tried; ranges themselves are taken from all."""


def stream(graph: Graph, values: Iterable[gs.Tensor], samples: Samples) -> Iterator[dict[str, Floats]]:
    """For each batch the values by name, (samples, ...) in float32.

    Raises CompileError for NaN and infinite numbers.
    """
    given = {value.name for value in graph.inputs}
    names = list(dict.fromkeys(value.name for value in values))
    computed = [name for name in names if name not in given]
    session = Session(graph, computed, optimise="all") if computed else None
    for batch in samples:
        found = dict(batch)
        if session is not None:
            found |= session.run({each.name: batch[each.name] for each in session.inputs})
        for name in names:
            if not np.isfinite(found[name]).all():
                raise fail(
                    f"`{name}` has NaN or infinite numbers on the samples of data `{samples.name}`",
                    help="look at the samples and at the model before quantizing it: vggc inspect, vggc diff",
                    code=Code.NOT_FINITE_RESULT,
                )
        yield {name: np.asarray(found[name], np.float32) for name in names}
