"""Operators that look at shapes only."""

from __future__ import annotations

from vggc.analysis.channels.sweep import Site, operator


@operator("Shape")
def shape(site: Site) -> None:
    """Dimensions: what uses them is told the old ones where the new ones would be wrong."""
    # Those of a split axis must be dimensions that the sliced graph has, too.
    site.axes(0)


@operator("Size")
def size(site: Site) -> None:
    """The number of elements, which must be known to stay what it was."""
    dimensions = site.shape(0)
    site.axes(0)
    if dimensions is None or not all(isinstance(each, int) for each in dimensions):
        site.freeze_all("reaches {}, which counts elements at run time")
