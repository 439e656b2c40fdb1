"""Operators that look at all positions along an axis at once: sums, means, maxima, softmax.

A sum without a channel is the sum with that channel zero, and so is a mean when it is multiplied by the share of the
channels that stay. The means of a layer norm written out node by node are over the channels that stay, as those of a
LayerNormalization are.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.records import Counting
from vggc.analysis.channels.sweep import Site, operator
from vggc.graph import Graph
from vggc.graph.arrays import is_float

_NEEDS_ALL = "reaches {}, whose result changes when a channel goes"


@operator("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")
def reduce_sum(site: Site) -> None:
    """Sums: a channel that is gone counts as one that is zero."""
    for axis in _reduce(site):
        site.contract(0, axis, (site.axes(0) or [])[axis])


@operator("ReduceMean")
def reduce_mean(site: Site) -> None:
    """Means: a channel that is gone counts as one that is zero, but takes no part in those of a layer norm."""
    axes = site.axes(0) or []
    centres = _is_of_norm(site.sweep.graph, site.node)
    for axis in _reduce_floats(site):
        along = axes[axis]
        site.contract(0, axis, along, "absent" if centres else "zero")
        if along is not None and not centres:
            _divide_by_all(site, along)


@operator("ReduceMax", "ReduceMin")
def reduce_extreme(site: Site) -> None:
    """The largest or smallest of the channels that stay."""
    counting: Counting = "lowest" if site.node.op == "ReduceMax" else "highest"
    for axis in _reduce_floats(site):
        site.contract(0, axis, (site.axes(0) or [])[axis], counting)


@operator("ReduceProd", "ReduceLogSum", "ReduceLogSumExp")
def reduce_other(site: Site) -> None:
    """Everything else over an axis needs all of it."""
    for axis in _reduce(site):
        site.freeze((site.axes(0) or [])[axis], _NEEDS_ALL)


def _reduce(site: Site) -> list[int]:
    """The axes that a node reduces; what lies along the others passes."""
    axes = site.axes(0)
    if axes is None or not any(axes):
        return []
    listed = site.integers("axes", 1)
    if listed is None and site.has(1):
        site.freeze_all("reaches {}, whose axes are computed at run time")
        return []
    every = not listed and not site.node.attrs.get("noop_with_empty_axes", 0)
    gone = set(range(len(axes))) if every else {each % len(axes) for each in listed or ()}
    keeps = bool(site.node.attrs.get("keepdims", 1))
    site.set([None if index in gone else axis for index, axis in enumerate(axes) if keeps or index not in gone])
    return sorted(gone)


def _reduce_floats(site: Site) -> list[int]:
    """As `_reduce`; the axes of integers are frozen, which have no share and no lowest number that is not a value."""
    gone = _reduce(site)
    dtype = site.sweep.graph.dtype(site.node.inputs[0])
    if dtype is not None and is_float(dtype):
        return gone
    for axis in gone:
        site.freeze((site.axes(0) or [])[axis], "reaches {}, whose numbers are not floats")
    return []


def _is_of_norm(graph: Graph, node: gs.Node) -> bool:
    """Whether a mean is one of those of a layer norm: that of x in x - mean(x), or that of the square of this."""
    value, mean = node.inputs[0], node.outputs[0]
    if any(_is_centred(graph, reader.outputs[0], value, mean) for reader in graph.readers(mean) if reader.op == "Sub"):
        return True
    square = graph.producer(value)
    if square is None or square.op not in ("Mul", "Pow"):
        return False
    if square.op == "Mul" and square.inputs[0] is not square.inputs[1]:
        return False
    return _is_centred(graph, square.inputs[0])


def _is_centred(graph: Graph, value: gs.Tensor, x: gs.Tensor | None = None, mean: gs.Tensor | None = None) -> bool:
    """Whether a value is x - mean(x), of any x or a given one."""
    node = graph.producer(value)
    if node is None or node.op != "Sub":
        return False
    maker = graph.producer(node.inputs[1])
    if maker is None or maker.op != "ReduceMean" or maker.inputs[0] is not node.inputs[0]:
        return False
    return (x is None or node.inputs[0] is x) and (mean is None or node.inputs[1] is mean)


def _divide_by_all(site: Site, along: Axis) -> None:
    """Let a mean over fewer channels stay the sum divided by the number of all."""

    def rescale(slicing: Slicing) -> None:
        if not slicing.shrinks(along):
            return
        graph, mean = slicing.graph, site.node.outputs[0]
        inner = gs.Variable(graph.fresh_name(f"{mean.name}_of_fewer"), mean.dtype, mean.shape)
        graph.set_output(site.node, 0, inner)
        share = np.asarray(len(slicing.positions(along)) / along.size, graph.dtype(mean))
        graph.add("Mul", [inner, graph.constant(share, hint="share")], output=mean)

    site.then(rescale)


@operator("ArgMax", "ArgMin")
def arg(site: Site) -> None:
    """The number of a position: of another channel when some are gone."""
    axes = site.axes(0)
    if axes is None:
        return
    at = int(site.node.attrs.get("axis", 0)) % len(axes)
    site.freeze(axes[at], _NEEDS_ALL)
    keeps = bool(site.node.attrs.get("keepdims", 1))
    site.set([None if index == at else axis for index, axis in enumerate(axes) if keeps or index != at])


@operator("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")
def over_one_axis(site: Site) -> None:
    """Before opset 13 the softmax family works over all axes from `axis` on."""
    older = site.opset < 13 and site.node.op != "LpNormalization"
    _over(site, int(site.node.attrs.get("axis", 1 if older else -1)), onwards=older)


@operator("LRN")
def over_channels(site: Site) -> None:
    """Neighbouring channels change each other."""
    _over(site, 1, onwards=False)


@operator("CumSum")
def running(site: Site) -> None:
    """Running sums over one axis: a removed channel counts in all that follow."""
    axes, at = site.axes(0), site.numbers(1)
    if at is None:
        site.freeze_all("reaches {}, whose axis is computed at run time")
    elif axes is not None:
        _over(site, int(at), onwards=False)


@operator("MeanVarianceNormalization")
def mean_variance(site: Site) -> None:
    """Statistics over some axes."""
    axes = site.axes(0)
    if axes is not None:
        over = [int(each) % len(axes) for each in site.node.attrs.get("axes", (0, 2, 3))]
        site.set(_without(site, axes, over))


def _over(site: Site, at: int, *, onwards: bool) -> None:
    axes = site.axes(0)
    if axes is not None:
        at %= len(axes)
        site.set(_without(site, axes, range(at, len(axes)) if onwards else [at]))


def _without(site: Site, axes: list[Axis | None], over: range | list[int]) -> list[Axis | None]:
    return site.freeze_except(axes, [index for index in range(len(axes)) if index not in over], _NEEDS_ALL)
