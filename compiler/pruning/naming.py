"""Which channel groups the names and globs of `only` and `except` mean."""

from __future__ import annotations

from collections.abc import Collection

from vggc.analysis.channels import Group, Groups
from vggc.analysis.naming import named, names_of
from vggc.diagnostics import fail, spelling_help
from vggc.values import Names


def select(groups: Groups, only: Names, except_: Names) -> list[Group]:
    """The groups that can shrink, of those `only` names all and none that `except_` names.

    A name stands for the nodes that make channels: by node name, by the name of an output or of a weight, and by that
    of the module in front of either (`features.7` of `features.7.weight` or `/features/features.7/Conv`). A group is
    meant when one of its nodes is. Raises CompileError for a name that means no node with weights.
    """
    known = {group.id: _names(group) for group in groups}
    check_names(list(known.values()), only, except_)
    return [
        group
        for group in groups.prunable
        if (not only or named(known[group.id], only)) and not named(known[group.id], except_)
    ]


def check_names(known: Collection[set[str]], only: Names, except_: Names) -> None:
    """Raise CompileError for a name or glob that none of the things that may be meant is called by."""
    for option, patterns in (("only", only), ("except", except_)):
        for pattern in patterns:
            if not any(named(names, [pattern]) for names in known):
                raise fail(
                    f"`{option}` names `{pattern}`, and no node with weights is called so",
                    help=spelling_help(pattern, {name for names in known for name in names}, "there are"),
                )


def _names(group: Group) -> set[str]:
    return {name for each in (*group.producers, *group.carriers) for name in names_of(each.node)}
