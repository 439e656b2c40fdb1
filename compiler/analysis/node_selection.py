"""By which names a recipe may mean a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase

import onnx_graphsurgeon as gs

from vggc.diagnostics import Code, fail, spelling_help


def names_of(node: gs.Node) -> set[str]:
    """A node's own name, those of its outputs and its constants, and that of the module in front of either.

    The module is `features.7` of the weight `features.7.weight`, and of the node `/features/features.7/Conv`.
    """
    found = {node.name, *(value.name for value in node.outputs)}
    parts = node.name.strip("/").split("/")
    if len(parts) > 1:
        found.add(parts[-2])
    for value in node.inputs:
        if isinstance(value, gs.Constant):
            found |= {value.name, value.name.rpartition(".")[0]}
    return found - {""}


def named(names: Iterable[str], patterns: Sequence[str]) -> bool:
    """Whether one of the names is one of the patterns, or matches it as a glob."""
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def name_filter(
    only: Sequence[str], except_: Sequence[str], known: Iterable[set[str]], what: str
) -> Callable[[set[str]], bool]:
    """Tells by the names of a node whether `only` names it, or names nothing, and `except` does not.

    Raises CompileError for a name or glob that none of the `known` nodes is called by.
    """
    everything = list(known)
    for option, patterns in (("only", only), ("except", except_)):
        check_names(option, patterns, everything, what)
    return lambda names: (not only or named(names, only)) and not named(names, except_)


def check_names(option: str, patterns: Sequence[str], known: Iterable[set[str]], what: str) -> None:
    """Raise CompileError when an option names something that none of the nodes is called; `known` are their names."""
    everything = list(known)
    for pattern in patterns:
        if not any(named(names, [pattern]) for names in everything):
            raise fail(
                f"`{option}` names `{pattern}`, but no {what} has that name",
                help=spelling_help(pattern, sorted(set().union(*everything)), "there are"),
                code=Code.NO_NODE,
            )
