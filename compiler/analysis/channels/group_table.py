"""The channel groups of a graph as `vggc inspect --groups` lists them."""

from __future__ import annotations

from dataclasses import dataclass

from vggc.analysis.channels.group import Group
from vggc.analysis.channels.groups import channel_groups
from vggc.graph import Graph


@dataclass(frozen=True)
class GroupRow:
    """One group: `size` units, whose `producers` and `consumers` are weighted nodes by name.

    `params` and `macs` go with the first unit that is removed (`macs` is None where they are not known). `note` says
    why the group is frozen, or what it is bound to.
    """

    id: int
    size: int
    name: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    params: int
    macs: int | None
    prunable: bool
    note: str


def groups_table(graph: Graph) -> list[GroupRow]:
    """All groups that some weights depend on, in the order of the graph."""
    groups = channel_groups(graph)
    rows = []
    for group in groups:
        makers = [graph.label(each.node) for each in (*group.producers, *group.carriers)]
        readers = [graph.label(each.node) for each in group.consumers]
        if not makers and not readers:
            continue
        saved = groups.cost.saving(group.id)
        rows.append(
            GroupRow(
                id=group.id,
                size=group.size,
                name=group.name,
                producers=tuple(makers),
                consumers=tuple(readers),
                params=round(saved.params),
                macs=None if saved.macs is None else round(saved.macs),
                prunable=group.frozen is None,
                note=_note(group),
            )
        )
    return rows


def _note(group: Group) -> str:
    if group.frozen:
        return group.frozen
    notes = []
    blocks = sum(len(family) for family in group.families)
    if blocks:
        notes.append(f"{blocks} blocks must shrink alike: {len(group.counts)} widths")
    if len(group.pinned):
        notes.append(f"{len(group.pinned)} units stay: one {group.pinned_by}")
    return "; ".join(notes)
