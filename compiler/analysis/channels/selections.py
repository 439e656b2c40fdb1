"""Operators that take parts of a value: Split, Slice, Gather."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis, Layout
from vggc.analysis.channels.channel_cut import Slicing
from vggc.analysis.channels.sweep import Site, operator
from vggc.graph.arrays import Int64

_COMPUTED = "reaches {}, which takes a part that is only known when it runs"


@operator("Split")
def split(site: Site) -> None:
    """Consecutive parts along one axis, of given sizes or equal ones (then the last may be smaller)."""
    axes = site.axes(0)
    if axes is None or not any(axes):
        return
    at = int(site.node.attrs.get("axis", 0)) % len(axes)
    along = axes[at]
    count = len(site.node.outputs)
    sizes = site.integers("split", 1)
    if along is None:
        for output in range(count):
            site.set(axes, output)
        return
    if sizes is None and site.has(1):
        site.freeze(along, _COMPUTED)
        sizes = [0] * count
    if sizes is None:
        each = -(-along.size // count)
        sizes = [each] * (count - 1) + [along.size - each * (count - 1)]
    parts = _parts(site, along, sizes)
    for output, part in enumerate(parts):
        site.set([*axes[:at], part if part.size else None, *axes[at + 1 :]], output)
    site.then(lambda slicing: _set_sizes(slicing, site, along, parts))


def _parts(site: Site, along: Axis, sizes: Sequence[int]) -> list[Axis]:
    """Consecutive parts of an axis, none of which may vanish."""
    ends = np.cumsum(sizes)
    parts = [along.take(slice(end - size, end)) for end, size in zip(ends, sizes, strict=True)]
    for part in parts:
        site.cover(part)
    return parts


def _set_sizes(slicing: Slicing, site: Site, along: Axis, parts: list[Axis]) -> None:
    if not slicing.shrinks(along):
        return
    sizes = [slicing.length(part) for part in parts]
    if site.opset < 13 and site.node.op == "Split":
        site.node.attrs["split"] = sizes
        slicing.graph.touch(site.node)
        return
    site.node.attrs.pop("num_outputs", None)
    listed = slicing.graph.constant(np.array(sizes, np.int64), hint="split")
    if len(site.node.inputs) > 1:
        slicing.graph.set_input(site.node, 1, listed)
    else:
        site.node.inputs.append(listed)
        slicing.graph.touch(site.node)


@operator("SplitToSequence")
def split_to_sequence(site: Site) -> None:
    """As torch.chunk is exported: parts in a sequence, from which SequenceAt takes them one by one."""
    axes, sizes = site.axes(0), site.numbers(1)
    graph = site.sweep.graph
    sequence = site.node.outputs[0]
    picked = all(node.op == "SequenceAt" for node in graph.readers(sequence)) and not graph.is_output(sequence)
    if axes is None or not any(axes):
        return
    if sizes is None or not picked:
        site.freeze_all()
        return
    at = int(site.node.attrs.get("axis", 0)) % len(axes)
    along = axes[at]
    if along is None:
        # Which of them a SequenceAt takes makes no difference.
        site.sweep.sequences[id(sequence)] = [list(axes)]
        return
    chunk = int(sizes.reshape(-1)[0])
    lengths = [int(each) for each in sizes] if sizes.ndim else [chunk] * (along.size // chunk)
    parts = _parts(site, along, lengths if sum(lengths) == along.size else [*lengths, along.size - sum(lengths)])
    site.sweep.sequences[id(sequence)] = [[*axes[:at], part, *axes[at + 1 :]] for part in parts]
    site.then(lambda slicing: _set_sizes(slicing, site, along, parts))


@operator("SequenceAt")
def sequence_at(site: Site) -> None:
    """One part of a sequence."""
    parts, place = site.sweep.sequences.get(id(site.node.inputs[0])), site.numbers(1)
    if parts is None:
        return
    if len(parts) == 1:
        site.set(parts[0])
    elif place is not None:
        site.set(parts[int(place.reshape(-1)[0])])
    else:
        for axis in (axis for part in parts for axis in part if isinstance(axis, Axis)):
            site.freeze(axis, _COMPUTED)


@operator("Slice")
def slice_(site: Site) -> None:
    """From a start to an end, in steps, along some axes."""
    axes, shape = site.axes(0), site.shape(0)
    if axes is None or shape is None or not any(axes):
        return
    older = site.opset < 10
    starts, ends = (
        site.node.attrs.get(name) if older else site.entries(index) for name, index in (("starts", 1), ("ends", 2))
    )
    listed = site.integers("axes", 3)
    if listed is None and site.has(3) and not older:
        site.freeze_all(_COMPUTED)
        return
    steps = [] if older else site.integers("steps", 4)
    where = listed if listed is not None else list(range(len(starts or [])))
    result: Layout = list(axes)
    cuts: list[_Bounds] = []
    for entry, axis in enumerate(where):
        along = axes[axis % len(axes)]
        if along is None:
            continue
        bounds = [each[entry] if each else None for each in (starts, ends)] + [steps[entry] if steps else 1]
        if not all(isinstance(each, int) for each in bounds) or (steps is None and site.has(4)):
            site.freeze(along, _COMPUTED)
            result[axis % len(axes)] = None
            continue
        taken = _positions(along.size, *[int(each or 0) for each in bounds])
        if len(taken) == along.size and taken[0] == 0:
            continue
        part = along.take(taken)
        site.cover(part)
        result[axis % len(axes)] = part if part.size else None
        cuts.append(_Bounds(axis % len(axes), entry, along, taken))
    for number, name in enumerate(("starts", "ends")):
        site.renumber(name, number + 1, partial(_new_bounds, cuts, number))
    if site.has(4):
        site.renumber("steps", 4, partial(_new_bounds, cuts, 2))
    site.then(lambda slicing: _gather_first(slicing, site.node, cuts))
    site.set(result)


@dataclass(frozen=True, eq=False)
class _Bounds:
    """Entry `entry` of a Slice's lists: the positions it takes along an axis of its input."""

    axis: int
    entry: int
    along: Axis
    taken: Int64

    def left(self, slicing: Slicing) -> Int64:
        """Where the taken positions that stay are among all that stay."""
        kept = slicing.positions(self.along)
        return np.searchsorted(kept, self.taken[np.isin(self.taken, kept)])

    def numbers(self, slicing: Slicing) -> tuple[int, int, int] | None:
        """Start, end and step that take those; None where no Slice does."""
        left = self.left(slicing)
        steps = np.unique(np.diff(left)) if len(left) > 1 else np.ones(1, np.int64)
        if len(steps) > 1:
            return None
        first, step, last = int(left[0]), int(steps[0]), int(left[-1])
        # Going down to position 0, the end is before it; -1 would be the last position.
        end = last + 1 if step > 0 else last - 1 if last > 0 else -(1 << 31)
        return first, end, step


def _new_bounds(cuts: list[_Bounds], number: int, slicing: Slicing) -> dict[int, int]:
    changed = {}
    for each in cuts:
        if slicing.shrinks(each.along):
            # Where a Gather in front has taken the positions, the Slice takes all of them.
            changed[each.entry] = (each.numbers(slicing) or (0, len(each.left(slicing)), 1))[number]
    return changed


def _gather_first(slicing: Slicing, node: gs.Node, cuts: list[_Bounds]) -> None:
    for each in cuts:
        if slicing.shrinks(each.along) and each.numbers(slicing) is None:
            indices = slicing.graph.constant(each.left(slicing), hint="channels")
            taken = slicing.graph.add("Gather", [node.inputs[0], indices], {"axis": each.axis})
            slicing.graph.set_input(node, 0, taken.outputs[0])


def _positions(size: int, start: int, end: int, step: int) -> Int64:
    """The positions a Slice takes: bounds beyond an end stop there, negative ones count from the end."""
    if step < 0 and end < -size:
        return np.arange(size)[start::step]
    return np.arange(size)[start:end:step]


def gather_computed(site: Site) -> None:
    """Some positions of a computed value, or one, whose axis is then gone."""
    axes, indices = site.axes(0), site.shape(1)
    if axes is None or not any(axes):
        return
    at = int(site.node.attrs.get("axis", 0)) % len(axes)
    along, places = axes[at], site.numbers(1)
    if indices is None:
        site.freeze_all("reaches {}, whose indices have no known rank")
        return
    if along is None or places is None or len(indices) > 1:
        site.freeze(along, _COMPUTED)
        site.set([*axes[:at], *[None] * len(indices), *axes[at + 1 :]])
        return
    positions = places.reshape(-1).astype(np.int64) % along.size
    taken = along.take(positions)
    if indices:
        site.cover(taken)
    else:
        site.freeze(taken, "is picked by its number at {}")
    site.set([*axes[:at], *([taken] if indices else []), *axes[at + 1 :]])
    site.then(lambda slicing: _set_indices(slicing, site.node, along, positions, scalar=not indices))


def _set_indices(slicing: Slicing, node: gs.Node, along: Axis, positions: Int64, *, scalar: bool) -> None:
    if slicing.shrinks(along):
        kept = slicing.positions(along)
        left = np.searchsorted(kept, positions[np.isin(positions, kept)])
        dtype = slicing.graph.dtype(node.inputs[1])
        new = left.astype(dtype)
        slicing.graph.set_input(node, 1, slicing.graph.constant(new.reshape(()) if scalar else new, hint="channels"))
