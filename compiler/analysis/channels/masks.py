"""What a sliced graph must equal: the graph it came from with the removed channels masked.

Masked means: wherever a node sums over channels (a convolution over its input channels, a matrix product over its inner
axis, a sum), the removed ones enter it as zeros. Everything between two such nodes treats channels one by one, so what
it makes of a removed channel does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.group import Group, Keep
from vggc.diagnostics import fail
from vggc.execution.model_comparison import ModelComparison, compare
from vggc.execution.random_inputs import random_inputs
from vggc.graph.arrays import Feeds
from vggc.graph.writer import onnx_type

if TYPE_CHECKING:
    from vggc.analysis.channels.groups import Groups
    from vggc.graph import Graph


def masked(groups: Groups, keep: Keep) -> Graph:
    """See Groups.masked."""
    graph = groups.graph.copy()
    twins = {id(node): twin for node, twin in zip(groups.graph.nodes, graph.nodes, strict=True)}
    for node, index, axis, along in groups.swept.contractions:
        channels = groups.of(along)
        kept = channels.kept(keep)
        if len(kept) == len(channels):
            continue
        twin = twins[id(node)]
        value = node.inputs[index]
        rank = len(groups.swept.statics.shape(value) or ())
        dtype = groups.graph.dtype(value)
        if dtype is None:
            raise fail(f"the type of `{value.name}` is not known, so that its channels cannot be masked")
        mask = np.zeros(len(channels), dtype)
        mask[kept] = 1
        shape = [len(channels) if each == axis else 1 for each in range(rank)]
        product = graph.add("Mul", [twin.inputs[index], graph.constant(mask.reshape(shape), hint="mask")])
        graph.set_input(twin, index, product.outputs[0])
    graph.tidy()
    return graph


GATE = "vggc:gate"
"""The input of a gated graph."""


def gated(groups: Groups, group: Group) -> Graph:
    """A copy of the graph with one more input, GATE: a factor for each atom of a group, wherever a node sums over it.

    It is float32 [size]. All ones leave the graph as it is, a zero removes an atom as `masked` does.
    """
    graph = groups.graph.copy()
    twins = {id(node): twin for node, twin in zip(groups.graph.nodes, graph.nodes, strict=True)}
    gate = gs.Variable(GATE, np.dtype(np.float32), [group.size])
    graph.inputs.append(gate)
    open_ = graph.constant(np.ones(1, np.float32), hint="open")
    padded = graph.add("Concat", [gate, open_], {"axis": 0}).outputs[0]
    for node, index, axis, along in groups.swept.contractions:
        channels = groups.of(along)
        if group.id not in channels.groups:
            continue
        twin, value = twins[id(node)], node.inputs[index]
        dtype = groups.graph.dtype(value)
        if dtype is None:
            raise fail(f"the type of `{value.name}` is not known, so that its channels cannot be scaled")
        # What belongs to other groups is multiplied by the one at the end.
        places = np.where(channels.group == group.id, channels.atom, group.size)
        factors = graph.add("Gather", [padded, graph.constant(places, hint="places")], {"axis": 0}).outputs[0]
        rank = len(groups.swept.statics.shape(value) or ())
        shape = [len(channels) if each == axis else 1 for each in range(rank)]
        factors = graph.add("Reshape", [factors, graph.constant(np.array(shape, np.int64), hint="shape")]).outputs[0]
        if dtype != np.float32:
            factors = graph.add("Cast", [factors], {"to": onnx_type(dtype)}).outputs[0]
        product = graph.add("Mul", [twin.inputs[index], factors])
        graph.set_input(twin, index, product.outputs[0])
    graph.tidy()
    return graph


def prove(masked: Graph, sliced: Graph, feeds: Sequence[Feeds] | None = None) -> ModelComparison:
    """Run both graphs and compare their outputs: the sliced one must equal the masked one up to rounding.

    `feeds` default to random inputs of the model's own shapes. Raises CompileError where the outputs differ, for then
    the dependencies between channels were not understood.
    """
    found = compare(masked, sliced, random_inputs(masked) if feeds is None else feeds)
    if not found.ok:
        raise fail(
            f"removing channels changed output `{found.worst.name}` more than their absence explains",
            facts=(("note", str(found.worst)),),
            help="this is a defect of vggc: please report it together with the model",
        )
    return found
