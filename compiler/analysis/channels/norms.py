"""Norms with statistics over several positions: layer norms, group norms, instance norms.

With statistics over channels, a norm of fewer channels has others: it normalises the channels that stay. This changes
its results, as removing channels that are read changes those of a product, and repair solves the nodes that follow.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.elementwise import per_channel
from vggc.analysis.channels.group_norms import grouping_of
from vggc.analysis.channels.records import Norm
from vggc.analysis.channels.sweep import Site, operator

_COMPUTED = "reaches {}, whose parameters are computed at run time"
_SCALES_BY_CHANNEL = 21
"""From this opset on, GroupNormalization has a scale and shift for each channel; what it was before is deprecated."""


@operator("LayerNormalization", "RMSNormalization")
def layer_norm(site: Site) -> None:
    """Statistics over all axes from `axis` on; a scale and a shift for each position along these."""
    axes = site.axes(0)
    if axes is None or not any(axes):
        return
    first = int(site.node.attrs.get("axis", -1)) % len(axes)
    inner = [index for index in range(first, len(axes)) if axes[index] is not None]
    if any(value.name for value in site.node.outputs[1:]):
        site.freeze_all("reaches {}, whose statistics are read")
        return
    parameters = [index for index in range(1, len(site.node.inputs)) if site.has(index)]
    if not all(site.is_static(index) for index in parameters):
        site.freeze_all(_COMPUTED)
        return
    for index in inner[1:]:
        site.freeze(axes[index], "is one of several axes of channels that {} normalises over")
    along = axes[inner[0]] if inner else None
    if along is not None:
        for index in parameters:
            shape = site.shape(index) or []
            at = len(shape) - (len(axes) - inner[0])
            if at >= 0 and shape[at] != 1:
                site.cut(index, at, along)
        site.norm(Norm(site.node, along, inner[0], tuple(range(first, len(axes)))))
    site.set([axis if index < first or axis is along else None for index, axis in enumerate(axes)])


@operator("GroupNormalization")
def group_norm(site: Site) -> None:
    """Statistics over blocks of channels, each of which must keep equally many."""
    axes = site.axes(0)
    if axes is None or not any(axes):
        return
    if site.opset < _SCALES_BY_CHANNEL:
        site.freeze_all("reaches {}, whose meaning before opset 21 is deprecated")
        return
    if not all(site.is_static(index) for index in (1, 2)):
        site.freeze_all(_COMPUTED)
        return
    axes = site.freeze_except(axes, (0, 1), "lies along an axis that {} normalises over")
    along, blocks = axes[1], int(site.node.attrs["num_groups"])
    if along is not None:
        if along.size == blocks:
            site.then(lambda slicing: _set_groups(slicing, site.node, along))
        else:
            site.equal_blocks(along, blocks)
            site.norm(Norm(site.node, along, blocks=blocks))
        for index in (1, 2):
            site.cut(index, 0, along)
    site.set(axes)


def _set_groups(slicing: Slicing, node: gs.Node, along: Axis) -> None:
    """Blocks of one channel each go with their channels."""
    if slicing.shrinks(along):
        node.attrs["num_groups"] = slicing.length(along)
        slicing.graph.touch(node)


@operator("InstanceNormalization")
def instance_norm(site: Site) -> None:
    """Statistics of each channel of each sample over its other axes; scale and shift of each channel.

    Between the two Reshapes of a group norm as exporters write it, each block of channels is one of its channels.
    """
    grouping = grouping_of(site.sweep, site.node.inputs[0])
    if grouping is not None and grouping.along is not None:
        site.equal_blocks(grouping.along, grouping.blocks)
        site.norm(Norm(site.node, grouping.along, blocks=grouping.blocks, by_block=True))
        return
    axes = site.axes(0) or []
    for axis in axes[2:]:
        site.freeze(axis, "lies along an axis that {} normalises over")
    per_channel(site, range(1, 3))
