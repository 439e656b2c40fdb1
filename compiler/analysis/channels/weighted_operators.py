"""Operators with weights: convolutions, matrix products, embeddings.

They end the atoms of their inputs and begin new ones, except depthwise convolutions, which a channel passes by itself.
"""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.elementwise import broadcast
from vggc.analysis.channels.places import keep_places
from vggc.analysis.channels.records import Weighing
from vggc.analysis.channels.sweep import Site, operator

_COMPUTED = "reaches {}, whose weights are computed at run time"


@operator("Conv")
def conv(site: Site) -> None:
    """x (N, Cin, ...), weights (Cout, Cin/group, ...), bias (Cout)."""
    _convolution(site, transposed=False)


@operator("ConvTranspose")
def conv_transpose(site: Site) -> None:
    """x (N, Cin, ...), weights (Cin, Cout/group, ...), bias (Cout)."""
    _convolution(site, transposed=True)


def _convolution(site: Site, *, transposed: bool) -> None:
    if not all(site.is_static(index) for index in (1, 2) if site.has(index)):
        site.freeze_all(_COMPUTED)
        return
    shape = [each for each in site.shape(1) or () if isinstance(each, int)]
    axes = site.axes(0) or [None] * len(shape)
    if len(shape) < 3:
        site.freeze_all("reaches {}, whose weights have no known shape")
        return
    placed = keep_places(site, axes)
    axes = site.freeze_except(axes, (0, 1, *placed), "lies along an axis that {} slides over")
    batch, given = axes[:2]
    group = int(site.node.attrs.get("group", 1))
    inputs, outputs = (shape[0], shape[1] * group) if transposed else (shape[1] * group, shape[0])
    depthwise = group > 1 and group == inputs
    if depthwise:
        # Output channel i belongs to input channel i // multiplier.
        result = Axis(np.repeat(given.atoms, outputs // inputs)) if given and outputs > inputs else given
    else:
        result = site.new(outputs)
        site.contract(0, 1, given)
    into, out = (0, 1) if transposed else (1, 0)
    if group == 1:
        site.cut(1, into, given)
        site.cut(1, out, result)
    elif depthwise:
        site.cut(1, 0, given if transposed else result)
        site.then(lambda slicing: _set_group(slicing, site.node, given))
    else:
        for axis in (given, result):
            if axis is not None:
                site.equal_blocks(axis, group)
        # The axis of the weights that runs over all channels is cut like any other; the one inside the blocks is not.
        whole, inner = (given, result) if transposed else (result, given)
        site.cut(1, 0, whole)
        site.cut_inside(1, 1, inner, group)
    bias = 2 if site.has(2) else None
    if bias:
        site.cut(bias, 0, result)
    site.weigh(Weighing(site.node, 0, 1, 1, 1, bias, into, out, group, given, result, depthwise))
    site.scales(batch, result, None if depthwise else given)
    site.set([batch, result, *axes[2:]])


def _set_group(slicing: Slicing, node: gs.Node, channels: Axis | None) -> None:
    if slicing.shrinks(channels):
        node.attrs["group"] = len(slicing.positions(channels)) if channels else 1
        slicing.graph.touch(node)


@operator("Gemm")
def gemm(site: Site) -> None:
    """A (M, K) or transposed, B (K, N) or transposed, C broadcast to (M, N)."""
    if site.is_static(0):
        site.freeze_all("reaches {}, whose first operand is constant")
        return
    rows, inner = (1, 0) if site.node.attrs.get("transA", 0) else (0, 1)
    into, out = (1, 0) if site.node.attrs.get("transB", 0) else (0, 1)
    axes = site.axes(0) or [None, None]
    given, row = axes[inner], axes[rows]
    shape = site.shape(1)
    if site.is_static(1):
        width = shape[out] if shape else None
        if not isinstance(width, int):
            site.freeze_all("reaches {}, whose weights have no known shape")
            return
        result = site.new(width)
        site.cut(1, into, given)
        site.cut(1, out, result)
    else:
        other = site.axes(1) or [None, None]
        result = other[out]
        _meet(site, given, other[into])
        site.contract(1, into, other[into])
    site.contract(0, inner, given)
    bias = 2 if site.has(2) else None
    if bias and site.is_static(bias):
        ends = site.shape(bias) or []
        for axis, along in ((-1, result), (-2, row)):
            if len(ends) >= -axis and ends[axis] != 1:
                site.cut(bias, len(ends) + axis, along)
    elif bias:
        addend = site.axes(bias) or []
        for axis, along in ((-1, result), (-2, row)):
            size = (site.shape(bias) or [])[axis:][:1]
            if len(addend) >= -axis and size != [1]:
                _meet(site, along, addend[axis])
    weight = 1 if site.is_static(1) else None
    site.weigh(Weighing(site.node, 0, inner, 1, weight, bias, into, out, 1, given, result))
    site.scales(row, given, result)
    site.set([row, result])


@operator("MatMul")
def matmul(site: Site) -> None:
    """(..., M, K) times (..., K, N), the leading axes broadcast; one axis only stands for K."""
    first, second = site.shape(0), site.shape(1)
    if not first or not second:
        site.freeze_all("reaches {}, whose operands have no known rank")
        return
    static = [site.is_static(0), site.is_static(1)]
    left = [None] * len(first) if static[0] else site.axes(0) or [None] * len(first)
    right = [None] * len(second) if static[1] else site.axes(1) or [None] * len(second)
    at = (len(first) - 1, max(len(second) - 2, 0))
    inner = left[-1], right[at[1]]
    # The free axis of a constant operand is the new dimension; that of a computed one passes.
    row = left[-2] if len(first) > 1 else None
    column = right[-1] if len(second) > 1 else None
    for index, operand, other in ((0, first, inner[1]), (1, second, inner[0])):
        if not static[index]:
            continue
        site.cut(index, at[index], other)
        free = len(operand) - 2 if index == 0 else len(operand) - 1
        if len(operand) > 1 and isinstance(operand[free], int):
            fresh = site.new(int(operand[free] or 0))
            site.cut(index, free, fresh)
            row, column = (fresh, column) if index == 0 else (row, fresh)
    if not any(static):
        _meet(site, *inner)
    for index in (0, 1):
        if not static[index]:
            site.contract(index, at[index], inner[index])
    batch = broadcast(site, {0: slice(0, len(first) - 2), 1: slice(0, len(second) - 2)})
    data, weight = (1, 0) if static[0] else (0, 1 if static[1] else None)
    rank = max(len(first), len(second))
    into, out = at[1 - data], (len(second) - 1 if data == 0 else len(first) - 2)
    site.weigh(
        Weighing(
            site.node, data, at[data], rank - 1 if data == 0 else rank - 2, weight, None,
            into, out if out != into and out >= 0 else None, 1,
            inner[data], column if data == 0 else row,
        )
    )  # fmt: skip
    site.scales(*batch, row, inner[0] or inner[1], column)
    site.set([*batch, *([row] if len(first) > 1 else []), *([column] if len(second) > 1 else [])])


@operator("Gather")
def gather(site: Site) -> None:
    """Rows or columns of the data; of a constant table (an embedding) the other axes are new dimensions."""
    from vggc.analysis.channels.selections import gather_computed

    if not site.is_static(0):
        gather_computed(site)
        return
    shape, indices = site.shape(0), site.shape(1)
    for axis in site.axes(1) or ():
        site.freeze(axis, "is what {} looks up")
    dtype = site.sweep.graph.dtype(site.node.inputs[0])
    if shape is None or indices is None or dtype is None or dtype.kind not in "fV":
        return
    at = int(site.node.attrs.get("axis", 0)) % len(shape)
    fresh = [site.new(each) if isinstance(each, int) and index != at else None for index, each in enumerate(shape)]
    for index, axis in enumerate(fresh):
        site.cut(0, index, axis)
    widest = max(range(len(shape)), key=lambda index: 0 if (axis := fresh[index]) is None else axis.size)
    out_axis = widest if widest < at else widest - 1 + len(indices)
    if fresh[widest] is not None:
        site.weigh(Weighing(site.node, 1, 0, out_axis, 0, None, None, widest, 1, None, fresh[widest]))
    site.set([*fresh[:at], *[None] * len(indices), *fresh[at + 1 :]])


def _meet(site: Site, one: Axis | None, other: Axis | None) -> None:
    """Two axes that are walked together."""
    if one is not None and other is not None:
        site.unite(one, other)
    else:
        site.freeze(one or other, "meets an axis at {} that cannot shrink")
