"""Operators that put values together or take parts of them: Concat, Split, Slice, Gather, Pad."""

from __future__ import annotations

import numpy as np

from vggc.analysis.channels.axes import STAYS, Axis
from vggc.analysis.channels.sweep import Site, operator


@operator("Concat")
def concat(site: Site) -> None:
    """Along one axis one behind the other; along the others the operands shrink together."""
    shapes = [site.shape(index) for index in range(len(site.node.inputs))]
    if any(shape is None for shape in shapes):
        site.freeze_all("reaches {}, whose operands have no known rank")
        return
    known = [shape or [] for shape in shapes]
    at = int(site.node.attrs.get("axis", 1)) % len(known[0])
    carriers = dict(site.carriers())
    result: list[Axis | None] = []
    for axis in range(len(known[0])):
        if axis == at:
            lengths = [each[axis] for each in known]
            parts = [carriers[index][axis] if index in carriers else None for index in range(len(known))]
            result.append(_behind_one_another(site, parts, lengths))
            continue
        lying = [axes[axis] for axes in carriers.values() if axes[axis] is not None]
        first = lying[0] if lying else None
        for index in range(len(known)):
            here = carriers[index][axis] if index in carriers else None
            if site.is_static(index):
                site.cut(index, axis, first)
            elif first is not None and here is not None:
                site.unite(first, here)
            else:
                site.freeze(first, f"meets `{site.node.inputs[index].name}` at {{}}, which cannot shrink")
        result.append(first)
    site.set(result)


def _behind_one_another(site: Site, axes: list[Axis | None], sizes: list[int | str | None]) -> Axis | None:
    if len(axes) == 1 or not any(axes):
        return axes[0]
    if not all(axis is not None or isinstance(size, int) for axis, size in zip(axes, sizes, strict=True)):
        for axis in axes:
            site.freeze(axis, "is joined at {} with channels of unknown number")
        return None
    parts = [
        axis.atoms if axis is not None else np.full(int(size or 0), STAYS)
        for axis, size in zip(axes, sizes, strict=True)
    ]
    for axis in axes:
        if axis is not None:
            site.cover(axis)
    return Axis(np.concatenate(parts))


def gather_computed(site: Site) -> None:
    """Some positions of a computed value."""
    site.freeze_all()
