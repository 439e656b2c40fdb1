"""Operators that take their operands element by element: activations, arithmetic, normalisation by constants, Q/DQ."""

from __future__ import annotations

from collections.abc import Mapping

from vggc.analysis.channels.axes import Axis
from vggc.analysis.channels.sweep import Site, operator
from vggc.operators.elementwise import BROADCASTING, UNARY, WITH_SCALARS

_WITH_AXIS_ATTRIBUTE = 7
"""Before this opset, arithmetic broadcast by attributes instead of from the right."""


@operator(*UNARY)
def unary(site: Site) -> None:
    """Each element by itself. An Identity leaves even split axes as they are."""
    layout = site.layout(0)
    if layout is not None:
        moves = site.node.op in ("Identity", "Cast")
        site.set(layout if moves else site.axes(0) or [], view=site.view(0) if site.node.op == "Identity" else None)


@operator(*WITH_SCALARS, "CastLike")
def by_scalars(site: Site) -> None:
    """Each element by itself; the other inputs are single numbers or only types."""
    axes = site.axes(0)
    for index in range(1, len(site.node.inputs)):
        if site.node.op in WITH_SCALARS:
            site.freeze_input(index)
    if axes is not None:
        site.set(axes)


@operator("Dropout")
def dropout(site: Site) -> None:
    """Nothing at inference; in training the random numbers depend on the shape."""
    training = site.numbers(2)
    if site.has(2) and (training is None or bool(training)):
        site.freeze_all("reaches {}, which may be training")
        return
    for output in range(len(site.node.outputs)):
        site.set(site.axes(0) or [], output)


@operator(*BROADCASTING)
def elementwise(site: Site) -> None:
    """Operands of one shape, or broadcast to one: axes that meet shrink together, constants are cut."""
    shapes = [site.shape(index) for index in range(len(site.node.inputs))]
    if any(shape is None for shape in shapes):
        site.freeze_all("reaches {}, whose operands have no known rank")
        return
    if site.opset < _WITH_AXIS_ATTRIBUTE and any(shape != shapes[0] for shape in shapes):
        site.freeze_all("reaches {}, which broadcasts as operators did before opset 7")
        return
    site.set(broadcast(site, dict.fromkeys(range(len(shapes)), slice(None))))


def broadcast(site: Site, operands: Mapping[int, slice]) -> list[Axis | None]:
    """Unify the axes of operands as numpy would broadcast them, or of the part of their axes that a slice names.

    An axis of size 1 meets nothing. Where an axis that can shrink meets one that cannot, it is frozen.
    """
    shapes = {index: (site.shape(index) or [])[part] for index, part in operands.items()}
    axes = {index: (site.axes(index) or [])[part] for index, part in operands.items() if not site.is_static(index)}
    starts = {index: part.start or 0 for index, part in operands.items()}
    rank = max(len(shape) for shape in shapes.values())
    result: list[Axis | None] = []
    for back in range(rank, 0, -1):
        here = [index for index, shape in shapes.items() if len(shape) >= back and shape[-back] != 1]
        lying = [axis for index in here if index in axes and (axis := axes[index][-back]) is not None]
        first = lying[0] if lying else None
        for axis in lying[1:]:
            site.unite(lying[0], axis)
        for index in here:
            if index not in axes:
                site.cut(index, starts[index] + len(shapes[index]) - back, first)
            elif first is not None and axes[index][-back] is None:
                site.freeze(first, f"meets `{site.node.inputs[index].name}` at {{}}, which cannot shrink")
        result.append(first)
    return result


@operator("BatchNormalization")
def batch_norm(site: Site) -> None:
    """Scale, shift, mean and variance of each channel."""
    training = bool(site.node.attrs.get("training_mode", 0)) or any(value.name for value in site.node.outputs[1:])
    if training or not site.node.attrs.get("spatial", 1):
        site.freeze_all("reaches {}, which is in training mode")
        return
    per_channel(site, range(1, 5))


def per_channel(site: Site, parameters: range) -> None:
    """Parameters for each channel along axis 1, which are cut with it."""
    axes = site.axes(0)
    if axes is None or not any(axes):
        return
    if not all(site.is_static(index) for index in parameters):
        site.freeze_all("reaches {}, whose parameters are computed at run time")
        return
    for index in parameters:
        site.cut(index, 0, axes[1])
    site.set(axes)


@operator("QuantizeLinear", "DequantizeLinear")
def quantize(site: Site) -> None:
    """One scale, or one for each position along `axis`."""
    axes = site.axes(0)
    scale = site.shape(1)
    if axes is None or not any(axes):
        return
    if scale is None or not all(site.is_static(index) for index in (1, 2) if site.has(index)):
        site.freeze_all("reaches {}, whose scale is computed at run time")
        return
    if site.node.attrs.get("block_size", 0):
        site.freeze_all("reaches {}, which quantizes in blocks")
        return
    if scale not in ([], [1]):
        at = int(site.node.attrs.get("axis", 1)) % len(axes)
        for index in (1, 2):
            if site.has(index):
                site.cut(index, 0, axes[at])
    site.set(axes)
