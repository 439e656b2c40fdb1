"""Shapes that a profile contradicts: a Reshape with the batch it was exported with."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vggc.graph.domains import is_standard
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, Subject


def baked_sizes(subject: Subject) -> Iterator[Finding]:
    """A Reshape to fixed sizes of a value whose batch varies is right for one batch alone."""
    graph = subject.graph
    for node in all_nodes(graph):
        if node.op != "Reshape" or not is_standard(node) or len(node.inputs) != 2:
            continue
        shape, wanted = graph.shape(node.inputs[0]), graph.array(node.inputs[1])
        if not shape or wanted is None or wanted.size == 0 or not all(int(each) > 0 for each in wanted.reshape(-1)):
            continue
        rest = [each for each in shape[1:] if isinstance(each, int) and each > 0]
        if isinstance(shape[0], int) or len(rest) < len(shape) - 1:
            continue
        total, each_sample = math.prod(int(each) for each in wanted.reshape(-1)), math.prod(rest)
        fits = f"a batch of {total // each_sample}" if total % each_sample == 0 else "no batch"
        sizes = ", ".join(str(int(each)) for each in wanted.reshape(-1))
        reason = f"it makes [{sizes}] of a batch that varies: right for {fits} alone"
        yield Finding(
            f"{subject.title} cannot build {graph.label(node)} for more than one batch",
            reason,
            node,
            facts=(("note", reason),),
            help=f"export it with a batch of its own (-1), or fix the batch: set_batch({max(total // each_sample, 1)})",
        )
