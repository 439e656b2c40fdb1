"""The proof that channels can be removed from a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vggc.analysis.channels import Groups, channel_groups, prove
from vggc.analysis.costs import costs
from vggc.execution.random_inputs import random_inputs
from vggc.execution.session import Session
from vggc.graph import Graph


def _differ(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return any(not np.allclose(before[name], after[name], rtol=1e-3, atol=1e-4) for name in before)


def _look_right(groups: Groups) -> None:
    """What is said of the nodes with weights fits their shapes."""
    for each in groups.weighted:
        sides = (
            (each.inputs, groups.graph.shape(each.node.inputs[each.data]), each.axis, each.weight_in),
            (each.outputs, groups.graph.shape(each.node.outputs[0]), each.out_axis, each.weight_out),
        )
        for channels, shape, axis, along in sides:
            if channels is None:
                continue
            # Inference does not know the parts of a sequence.
            assert shape is None or shape[axis] in (len(channels), None)
            if each.weight is not None and along is not None and not each.depthwise:
                assert each.node.inputs[each.weight].shape[along] in (len(channels), len(channels) // each.blocks)
        assert each.weight is None or each.weight_in != each.weight_out


Removes = Callable[..., Groups]


@pytest.fixture
def removes() -> Removes:
    """`removes(graph)` cuts random channels out of a graph, twice anew, and proves each result.

    What is left must be valid, equal the masked original to 1e-5, and cost what the cost model said. Returns the
    groups of the graph as it was given. `matters`: the channels that go must have made a difference.
    """

    def check(graph: Graph, rounds: int = 2, *, matters: bool = True) -> Groups:
        differs = removes = False
        for seed in range(rounds):
            random = np.random.default_rng(seed)
            sliced = graph.copy()
            groups = channel_groups(sliced)
            keep = {
                group.id: group.best(random.random(group.size), int(random.integers(1, group.size)))
                for group in groups.prunable
            }
            removes = removes or any(len(atoms) < groups[index].size for index, atoms in keep.items())
            said = groups.cost(keep)
            masked = groups.masked(keep)
            groups.slice(keep)
            sliced.infer_shapes(check=True)
            now = costs(sliced)
            assert (said.params, said.macs) == (now.params, now.macs)
            feeds = random_inputs(graph, seed=seed)
            assert prove(masked, sliced, feeds).error <= 1e-5
            differs = differs or _differ(Session(graph).run(feeds[0]), Session(masked).run(feeds[0]))
        # A proof about no channels, or about channels that do nothing, would prove nothing.
        assert removes
        assert differs or not matters
        groups = channel_groups(graph)
        _look_right(groups)
        return groups

    return check
