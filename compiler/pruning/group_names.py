"""Which channel groups the names and globs of `only` and `except` mean."""

from __future__ import annotations

from vggc.analysis.channels import Group, Groups
from vggc.analysis.node_selection import name_filter, names_of
from vggc.values import Names


def select(groups: Groups, only: Names, except_: Names) -> list[Group]:
    """The groups that can shrink, of those `only` names all and none that `except_` names.

    A name stands for the nodes that make channels: by node name, by the name of an output or of a weight, and by that
    of the module in front of either (`features.7` of `features.7.weight` or `/features/features.7/Conv`). A group is
    meant when one of its nodes is. Raises CompileError for a name that means no node with weights.
    """
    known = {group.id: _names(group) for group in groups}
    is_selected = name_filter(only, except_, known.values(), "node with weights")
    return [group for group in groups.prunable if is_selected(known[group.id])]


def _names(group: Group) -> set[str]:
    return {name for each in (*group.producers, *group.carriers) for name in names_of(each.node)}
