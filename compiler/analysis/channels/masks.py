"""What a sliced graph must equal: the graph it came from with the removed channels masked.

Masked means: wherever a node sums over channels (a convolution over its input channels, a matrix product over its inner
axis, a sum), the removed ones enter it as zeros; a maximum over channels does not choose them, and a norm does not
count them in its statistics. Everything between two such nodes treats channels one by one, so what it makes of a
removed channel does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.group import Group, Keep
from vggc.analysis.channels.masked_norms import write_out
from vggc.analysis.channels.records import Counting
from vggc.diagnostics import Code, fail
from vggc.execution.model_comparison import ModelComparison, compare
from vggc.execution.random_inputs import random_inputs
from vggc.graph.arrays import Array, Feeds, Int64
from vggc.graph.writer import onnx_type

if TYPE_CHECKING:
    from vggc.analysis.channels.groups import Groups
    from vggc.graph import Graph


def masked(groups: Groups, keep: Keep) -> Graph:
    """See Groups.masked."""
    graph = groups.graph.copy()
    twins = {id(node): twin for node, twin in zip(groups.graph.nodes, graph.nodes, strict=True)}
    for each in groups.swept.contractions:
        channels = groups.of(each.along)
        kept = channels.kept(keep)
        if len(kept) == len(channels):
            continue
        twin = twins[id(each.node)]
        factor, offset = _mask(len(channels), kept, each.counting, _dtype(groups, each.node.inputs[each.input]))
        rank = len(groups.swept.statics.shape(each.node.inputs[each.input]) or ())
        shape = [len(channels) if axis == each.axis else 1 for axis in range(rank)]
        found = graph.add("Mul", [twin.inputs[each.input], graph.constant(factor.reshape(shape), hint="mask")])
        if offset.any():
            found = graph.add("Add", [found.outputs[0], graph.constant(offset.reshape(shape), hint="mask")])
        graph.set_input(twin, each.input, found.outputs[0])
    for norm in groups.swept.norms:
        channels = groups.of(norm.along)
        kept = channels.kept(keep)
        if len(kept) < len(channels):
            _dtype(groups, norm.node.inputs[0])
            write_out(graph, twins[id(norm.node)], norm, len(channels), kept)
    graph.tidy()
    return graph


def _mask(size: int, kept: Int64, counting: Counting, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """What (size,) channels are multiplied by, and what is added then, so that those that do not stay are not there."""
    factor, offset = np.zeros(size, dtype), np.zeros(size, dtype)
    # A mean over all channels divides by their number: so many times too large a mean is one over those that stay.
    factor[kept] = size / len(kept) if counting == "absent" else 1
    if counting in ("lowest", "highest"):
        limits = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
        offset[:] = limits.min if counting == "lowest" else limits.max
        offset[kept] = 0
    return factor, offset


def _dtype(groups: Groups, value: gs.Tensor) -> np.dtype[Any]:
    dtype = groups.graph.dtype(value)
    if dtype is None:
        raise fail(f"the type of `{value.name}` is not known, so that its channels cannot be masked", code=Code.SHAPES)
    return dtype


GATE = "vggc:gate"
"""The input of a gated graph."""


def gated(groups: Groups, group: Group) -> Graph:
    """A copy of the graph with one more input, GATE: a factor for each atom of a group, wherever a node sums over it.

    It is float32 [size]. All ones leave the graph as it is, a zero in a sum removes an atom as `masked` does. Norms
    keep the statistics of all channels.
    """
    graph = groups.graph.copy()
    twins = {id(node): twin for node, twin in zip(groups.graph.nodes, graph.nodes, strict=True)}
    gate = gs.Variable(GATE, np.dtype(np.float32), [group.size])
    graph.inputs.append(gate)
    open_ = graph.constant(np.ones(1, np.float32), hint="open")
    padded = graph.add("Concat", [gate, open_], {"axis": 0}).outputs[0]
    for each in groups.swept.contractions:
        channels = groups.of(each.along)
        if group.id not in channels.groups:
            continue
        twin, value = twins[id(each.node)], each.node.inputs[each.input]
        dtype = _dtype(groups, value)
        # What belongs to other groups is multiplied by the one at the end.
        places = np.where(channels.group == group.id, channels.atom, group.size)
        factors = graph.add("Gather", [padded, graph.constant(places, hint="places")], {"axis": 0}).outputs[0]
        rank = len(groups.swept.statics.shape(value) or ())
        shape = [len(channels) if axis == each.axis else 1 for axis in range(rank)]
        factors = graph.add("Reshape", [factors, graph.constant(np.array(shape, np.int64), hint="shape")]).outputs[0]
        if dtype != np.float32:
            factors = graph.add("Cast", [factors], {"to": onnx_type(dtype)}).outputs[0]
        product = graph.add("Mul", [twin.inputs[each.input], factors])
        graph.set_input(twin, each.input, product.outputs[0])
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
            code=Code.RESULTS_CHANGED,
        )
    return found
