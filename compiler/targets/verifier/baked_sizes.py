"""Shapes that contradict a profile: a Reshape to the batch size that the model was exported with."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vggc.diagnostics import Code
from vggc.graph.domains import is_standard
from vggc.targets.node_names import all_nodes
from vggc.targets.verifier.finding import Finding, LoweredGraph, cannot_build


def baked_sizes(subject: LoweredGraph) -> Iterator[Finding]:
    """When the batch varies, a Reshape to fixed sizes is correct for one batch size only."""
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
        total, sample = math.prod(int(each) for each in wanted.reshape(-1)), math.prod(rest)
        batch = max(total // sample, 1)
        fits = f"only for a batch of {batch}" if total % sample == 0 else "for no batch size"
        sizes = ", ".join(str(int(each)) for each in wanted.reshape(-1))
        reason = f"it reshapes a variable batch to [{sizes}], which is correct {fits}"
        advice = f"export it with a variable batch (-1), or fix the batch: set_batch({batch})"
        yield cannot_build(subject, node, reason, advice, behind=" for more than one batch size", code=Code.BAKED_SIZE)
