"""Operators over spatial axes: pools and resizing. Channels pass through them one by one."""

from __future__ import annotations

from vggc.analysis.channels.sweep import Site, operator

_SLIDES = "lies along an axis that {} slides over"


@operator("AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def pool(site: Site) -> None:
    """Windows over all axes but the first two."""
    axes = site.axes(0)
    if axes is None:
        return
    if any(value.name for value in site.node.outputs[1:]):
        site.freeze_all("reaches {}, whose indices count all channels")
        return
    site.set(site.freeze_except(axes, (0, 1), _SLIDES))
