"""Remove channels that have the same number for every input, or that have no effect.

    Conv(Relu(BatchNormalization(Conv(x, w), scale, shift, ...)), v, b)
    => the same with fewer channels, and b + v * relu(shift)      where scale is 0

A channel is constant when interval arithmetic over the graph allows only one number: its weights or its batch norm's
scale are zero, or it is negative for every input and a Relu follows. (Bounds come from constants: Clip, Sigmoid, batch
norms of bounded values.) This number is added to the bias of every node that reads the channel. When such a convolution
pads its image, the border sees zeros instead, and a constant (1, channels, height, width) is added. A channel has no
effect when all weights that read it are zero.

Channels that must be removed together (residual sums, gates, depthwise convolutions) are removed when all of them are
dead wherever they are read. Channels in front of a layer norm or group norm stay, because it has other statistics
without them. The results stay the same for all inputs that are finite numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vggc.analysis.channels import Counting, Group, Groups, channel_groups
from vggc.analysis.ranges import Range, Ranges
from vggc.graph import Graph
from vggc.graph.arrays import Bools, Int64
from vggc.pruning.constants import Absorbed, SummingReader
from vggc.pruning.provenance import kept_outputs, note
from vggc.rewrite import Context, whole_graph
from vggc.values import Bytes

_LARGEST = Bytes(1 << 20)


@whole_graph
def remove_dead_channels(graph: Graph, context: Context, largest: Bytes = _LARGEST) -> None:
    """Remove channels that are constant, adding the constants to the next biases, and channels that nothing reads.

    Options:
        largest: the largest constant, in bytes, that a channel before a padded convolution may add to the model
    """
    while True:
        groups = channel_groups(graph)
        found = _Dead(groups, int(largest))
        keep = found.keep()
        if not keep:
            found.tell(context)
            return
        absorbed = found.absorbed(keep)
        kept = kept_outputs(groups, keep)
        for index, atoms in keep.items():
            gone = np.setdiff1d(np.arange(groups[index].size), atoms)
            constant = int(found.constant[index][gone].sum())
            for what, count in (("constant", constant), ("unread", len(gone) - constant)):
                if count:
                    context.record(f"remove {what} channels", count)
        note(graph, context, groups.slice(keep))
        for each in absorbed:
            each.store(graph, kept.get(each.node.outputs[0].name))


@dataclass(eq=False)
class _Dead:
    """Which atoms of each group are dead wherever they are read."""

    groups: Groups
    largest: int
    dead: dict[int, Bools] = field(default_factory=dict)
    constant: dict[int, Bools] = field(default_factory=dict)
    read: list[tuple[SummingReader, Range, Bools]] = field(default_factory=list)

    def __post_init__(self) -> None:
        graph, ranges = self.groups.graph, Ranges(self.groups.graph)
        seen = {group.id: np.zeros(group.size, bool) for group in self.groups}
        self.dead = {index: np.ones_like(each) for index, each in seen.items()}
        self.constant = {index: np.ones_like(each) for index, each in seen.items()}
        for norm in self.groups.swept.norms:
            # Statistics of fewer channels are others, whatever number a channel has.
            for index in self.groups.of(norm.along).groups:
                self.dead[index][:] = False
        for contraction in self.groups.swept.contractions:
            channels = self.groups.of(contraction.along)
            reader = SummingReader(graph, contraction.node, contraction.input, channels, self.largest)
            value = contraction.node.inputs[contraction.input]
            numbers = ranges.along(value, contraction.axis, len(channels))
            never_chosen = _never_chosen(numbers, contraction.counting)
            ignored = reader.ignored | never_chosen
            summed = (numbers.low == 0) if contraction.counting == "zero" else never_chosen
            constant = numbers.is_constant & (summed | (reader.refused is None))
            self.read.append((reader, numbers, ignored))
            for group in channels.groups:
                mine = channels.group == group
                atoms = channels.atom[mine]
                seen[group][atoms] = True
                np.logical_and.at(self.dead[group], atoms, (constant | ignored)[mine])
                np.logical_and.at(self.constant[group], atoms, constant[mine])
        for index, each in seen.items():
            # What no node sums over is read in a way that is not looked into.
            self.dead[index] &= each

    def keep(self) -> dict[int, Int64]:
        """The atoms that stay, of groups that can lose some."""
        found = {}
        for group in self.groups.prunable:
            if self.dead[group.id].any():
                kept = _fewest(group, ~self.dead[group.id])
                if len(kept) < group.size:
                    found[group.id] = kept
        return found

    def absorbed(self, keep: dict[int, Int64]) -> list[Absorbed]:
        """What the nodes that read removed channels have to add to their results."""
        found = []
        for reader, numbers, ignored in self.read:
            gone = np.ones(len(reader.channels), bool)
            gone[reader.channels.kept(keep)] = False
            moved = np.where(gone & ~ignored, numbers.low, 0.0)
            if moved.any():
                found.append(reader.absorb(moved))
        return found

    def tell(self, context: Context) -> None:
        """Report the constant channels that stay, and why."""
        for group in self.groups:
            count = int(self.dead[group.id].sum())
            if count:
                reason = f"it {group.frozen}" if group.frozen else "others of its channels must go with them"
                told = f"{count} dead channel{' stays' if count == 1 else 's stay'}"
                context.decline(group.name, f"{told}: {reason}")
        for reader, numbers, _ in self.read:
            stuck = int((numbers.is_constant & (numbers.low != 0)).sum())
            if stuck and reader.refused is not None:
                what = f"{stuck} constant channel{' stays' if stuck == 1 else 's stay'} before it"
                context.decline(reader.node, f"{what}: {reader.refused}")


def _never_chosen(numbers: Range, counting: Counting) -> Bools:
    """The channels, (channels,), that a maximum or minimum over channels is the same without.

    That of a constant is always one of those that stay: at least one stays, and none is beyond the constant.
    """
    if counting == "lowest":
        return np.asarray(numbers.is_constant & (numbers.high <= numbers.low.min()))
    if counting == "highest":
        return np.asarray(numbers.is_constant & (numbers.low >= numbers.high.max()))
    return np.zeros(len(numbers.low), bool)


def _fewest(group: Group, live: Bools) -> Int64:
    """As few atoms as can stay with all that are live among them."""
    for count in group.counts:
        if count >= live.sum():
            kept = group.best(live.astype(np.float64), count)
            if live[kept].sum() == live.sum():
                return kept
    return np.arange(group.size)
