"""By which names a recipe may mean a node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import onnx_graphsurgeon as gs


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
