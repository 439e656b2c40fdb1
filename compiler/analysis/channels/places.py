"""Convolutions that slide over channels, as the channel attention of ECA-Net does: a neighbour is a channel nearby.

When channels go, those that stay keep their places: zeros are put where the others were, and what the convolution
computes there is left out. So the weights mean what they meant, and a channel that is gone counts as one that is zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.sweep import Site

_PADS_AS_INPUT = 11


def keep_places(site: Site, axes: Sequence[Axis | None]) -> tuple[int, ...]:
    """The spatial axes of a Conv along which channels lie that can go: those that its result has unchanged."""
    node = site.node
    target = site.out_shape()
    if node.op != "Conv" or target is None or site.opset < 2:
        return ()
    strides = node.attrs.get("strides") or [1] * (len(axes) - 2)
    found = []
    for index, axis in enumerate(axes[2:], 2):
        if axis is not None and strides[index - 2] == 1 and target[index] == axis.size:
            site.contract(0, index, axis)
            _spread(site, index, axis)
            found.append(index)
    return tuple(found)


def _spread(site: Site, index: int, axis: Axis) -> None:
    def spread(slicing: Slicing) -> None:
        if not slicing.shrinks(axis):
            return
        graph, node = slicing.graph, site.node
        kept = slicing.positions(axis)
        # Behind those that stay a zero is added, which stands at all places of those that went.
        rank = len(slicing.statics.shape(node.inputs[0]) or ())
        pads = [0] * 2 * rank
        pads[rank + index] = 1
        if site.opset < _PADS_AS_INPUT:
            padded = graph.add("Pad", [node.inputs[0]], {"pads": pads})
        else:
            padded = graph.add("Pad", [node.inputs[0], graph.constant(np.array(pads, np.int64), hint="pads")])
        places = np.full(axis.size, len(kept), np.int64)
        places[kept] = np.arange(len(kept))
        gathered = graph.add("Gather", [padded.outputs[0], graph.constant(places, hint="places")], {"axis": index})
        graph.set_input(node, 0, gathered.outputs[0])
        result = node.outputs[0]
        readers = graph.readers(result)
        taken = graph.add("Gather", [result, graph.constant(kept, hint="channels")], {"axis": index}).outputs[0]
        for reader in readers:
            for at, value in enumerate(reader.inputs):
                if value is result:
                    graph.set_input(reader, at, taken)

    site.then(spread)
