"""Einsum: axes with one letter are one axis, and those whose letter the result does not have are summed over."""

from __future__ import annotations

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.records import Weighing
from vggc.analysis.channels.sweep import Site, operator
from vggc.graph.arrays import Size
from vggc.operators.equations import Equation, equation

_Place = tuple[int, int]
"""An operand, and an axis of it."""


@operator("Einsum")
def einsum(site: Site) -> None:
    """Axes that meet shrink together; constant operands are cut, and those among their axes that nobody else has are
    new channels, as the output channels of a matrix product are."""
    found = equation(site.node)
    shapes = [site.shape(index) for index in range(len(site.node.inputs))]
    known = [[] if shape is None else shape for shape in shapes]
    if found is None or [len(shape) for shape in known] != [len(operand) for operand in found.operands]:
        site.freeze_all("reaches {}, whose equation vggc does not look through")
        return
    weight = _weight(site)
    # One new axis is made of channels: the widest, when weights have several.
    made = [] if weight is None else found.made(weight)
    widest = max(
        made, key=lambda letter: _length(known[weight or 0][found.operands[weight or 0].index(letter)]), default=""
    )
    along = {letter: _meet(site, found, letter, known, fresh=letter == widest) for letter in found.letters}
    if weight is not None:
        _weigh(site, found, weight, along, widest)
    site.scales(*along.values())
    site.set([along[letter] for letter in found.result])


def _weight(site: Site) -> int | None:
    """The constant operand of two operands."""
    static = [site.is_static(index) for index in range(len(site.node.inputs))]
    return static.index(True) if len(static) == 2 and sum(static) == 1 else None


def _length(size: Size) -> int:
    return size if isinstance(size, int) else 0


def _meet(site: Site, found: Equation, letter: str, shapes: list[list[Size]], *, fresh: bool) -> Axis | None:
    """What lies along the axes of one letter."""
    places = [
        (index, operand.index(letter))
        for index, operand in enumerate(found.operands)
        if letter in operand and shapes[index][operand.index(letter)] != 1
    ]
    computed = [(index, axis) for index, axis in places if not site.is_static(index)]
    constant = [place for place in places if place not in computed]
    first = _unified(site, computed)
    if not computed and fresh:
        index, axis = constant[0]
        first = site.new(_length(shapes[index][axis]))
    for index, axis in constant:
        site.cut(index, axis, first)
    if letter not in found.result:
        for index, axis in computed:
            site.contract(index, axis, first)
    return first


def _unified(site: Site, places: list[_Place]) -> Axis | None:
    axes = [(site.axes(index) or [])[axis] if site.axes(index) else None for index, axis in places]
    first = next((axis for axis in axes if axis is not None), None)
    for (index, _), axis in zip(places, axes, strict=True):
        if axis is not None and first is not None:
            site.unite(first, axis)
        else:
            site.freeze(first, f"meets `{site.node.inputs[index].name}` at {{}}, which cannot shrink")
    return first


def _weigh(site: Site, found: Equation, weight: int, along: dict[str, Axis | None], made: str) -> None:
    data = 1 - weight
    summed = max(found.summed(weight), key=lambda letter: along[letter] is not None, default="")
    if not summed or not made:
        return
    weights, values = found.operands[weight], found.operands[data]
    site.weigh(
        Weighing(
            site.node, data, values.index(summed), found.result.index(made), weight, None,
            weights.index(summed), weights.index(made), 1, along[summed], along[made],
        )
    )  # fmt: skip
