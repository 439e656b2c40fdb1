"""What the values to be quantized look like on samples, gathered in one pass and bounded memory."""

from __future__ import annotations

import numpy as np

from vggc.diagnostics import fail
from vggc.graph import Graph
from vggc.pruning.samples import Samples
from vggc.quantization.histogram import Histogram
from vggc.quantization.plan import Plan
from vggc.runtime import Session

FEW = 32
"""Samples below which ranges are guesses."""


def check_samples(graph: Graph, samples: Samples) -> None:
    """Warn of too few samples."""
    if samples.count < FEW:
        graph.warn(
            f"data `{samples.name}` has {samples.count} samples: ranges found on fewer than {FEW} are guesses; "
            "a few hundred are right"
        )


def observe(plan: Plan, samples: Samples) -> dict[int, Histogram]:
    """The histogram of each family of sites. Raises CompileError for NaN and infinite numbers."""
    sites = plan.sites
    found = {site.family: Histogram() for site in sites}
    given = {value.name for value in plan.graph.inputs}
    names = [site.value.name for site in sites if site.value.name not in given]
    session = Session(plan.graph, names) if names else None
    for batch in samples:
        values = {**batch, **(session.run({each.name: batch[each.name] for each in session.inputs}) if session else {})}
        for site in sites:
            array = values[site.value.name]
            if not np.isfinite(array).all():
                raise fail(
                    f"`{site.value.name}` has NaN or infinite numbers on the samples of data `{samples.name}`",
                    help="look at the samples and at the model before quantizing it: vggc inspect, vggc diff",
                )
            found[site.family].add(np.asarray(array, np.float32))
    for site in sites:
        if found[site.family].bound == 0:
            plan.graph.warn(f"`{site.value.name}` is 0 on all samples of data `{samples.name}`: its range is a guess")
    return found
