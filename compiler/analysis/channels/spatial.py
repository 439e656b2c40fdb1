"""Operators over spatial axes: pools, resizing, and those that turn channels into space and back."""

from __future__ import annotations

import numpy as np

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.sweep import Site, operator
from vggc.operators.pooling import POOLS

_SLIDES = "lies along an axis that {} slides over"


@operator(*POOLS, "LpPool", "GlobalLpPool", "GridSample")
def pool(site: Site) -> None:
    """Windows, or points, over all axes but the first two."""
    axes = site.axes(0)
    if any(value.name for value in site.node.outputs[1:]):
        site.freeze_all("reaches {}, whose indices count all channels")
        return
    for index in range(1, len(site.node.inputs)):
        site.freeze_input(index)
    if axes is not None:
        site.set(site.freeze_except(axes, (0, 1), _SLIDES))


@operator("Resize", "Upsample")
def resize(site: Site) -> None:
    """Other sizes of some axes, by `scales` or `sizes`; channels lie along axes whose size stays."""
    axes, shape, target = site.axes(0), site.shape(0), site.out_shape()
    if axes is None or not any(axes):
        return
    if shape is None or target is None:
        site.freeze_all("reaches {}, whose shape is not known before it runs")
        return
    listed = site.node.attrs.get("axes")
    where = [int(each) % len(axes) for each in listed] if listed else list(range(len(axes)))
    crops = site.node.attrs.get("coordinate_transformation_mode") in ("tf_crop_and_resize", b"tf_crop_and_resize")
    policy = site.node.attrs.get("keep_aspect_ratio_policy", "stretch")
    for index, axis in enumerate(axes):
        stays = shape[index] == target[index] and not (index in where and (crops or policy != "stretch"))
        if not stays:
            site.freeze(axis, "lies along an axis that {} resizes")
    site.set([axis if shape[index] == target[index] else None for index, axis in enumerate(axes)])
    if site.has(3):
        site.resize(3, {entry: axes[axis] for entry, axis in enumerate(where)})


@operator("SpaceToDepth")
def space_to_depth(site: Site) -> None:
    """(N, C, H, W) to (N, b*b*C, H/b, W/b): all channels once for each place in a block."""
    axes = site.axes(0)
    if axes is None:
        return
    batch, along, *_ = site.freeze_except(axes, (0, 1), _SLIDES)
    places = int(site.node.attrs["blocksize"]) ** 2
    site.set([batch, along and Axis(np.tile(along.atoms, places)), None, None])


@operator("DepthToSpace")
def depth_to_space(site: Site) -> None:
    """(N, C, H, W) to (N, C/b/b, H*b, W*b): one channel of each block of C/b/b (DCR), or b*b neighbours (CRD)."""
    axes = site.axes(0)
    if axes is None:
        return
    batch, along, *_ = site.freeze_except(axes, (0, 1), _SLIDES)
    places = int(site.node.attrs["blocksize"]) ** 2
    if along is None:
        site.set([batch, None, None, None])
        return
    blocks = site.node.attrs.get("mode", "DCR") in ("DCR", b"DCR")
    rows = along.atoms.reshape(places, -1) if blocks else along.atoms.reshape(-1, places).T
    site.set([batch, site.sweep.atoms.tie(rows), None, None])
