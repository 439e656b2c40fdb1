"""The blocks in which the page folds a graph: the modules of the model's source, or runs of nodes where it names none.

A module is known from what exporters write: PyTorch's name scopes in a node's metadata, a path in its name
(`/layer1/layer1.0/conv1/Conv`), or the name of a weight that it reads (`layer1.0.conv1.weight`). A node without a
module belongs to the module of the last node that it reads.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.graph.extras import node_extras
from vggc.graph.node_order import reads

Path = tuple[str, ...]

_SCOPES = "pkg.torch.onnx.name_scopes"

_MOST = 60
"""The most entries of a block; a block with more is divided into runs of entries."""

_RUN = 40
"""Entries of such a run."""


@dataclass(frozen=True)
class Blocks:
    """The tree of blocks. `names` and `parents` belong to the blocks, `of_node` has the block of each node.

    The first block is the whole graph, without a name, and its parent is -1. A parent is before its children.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    of_node: tuple[int, ...]


def blocks(graph: Graph) -> Blocks:
    """The blocks of a graph whose nodes are in topological order."""
    return arranged(module_paths(graph))


def module_paths(graph: Graph) -> list[Path]:
    """The module of each node, from the outermost inwards; empty for a node of the model itself."""
    paths: list[Path] = []
    made_at: dict[int, int] = {}
    for position, node in enumerate(graph.nodes):
        path = _own_path(node)
        if path is None:
            # A residual sum belongs to the branch that ends in it, and not to the one that began before.
            last = max((made_at[id(each)] for each in reads(node) if id(each) in made_at), default=None)
            path = () if last is None else paths[last]
        paths.append(path)
        made_at.update((id(value), position) for value in node.outputs)
    return paths


def _own_path(node: gs.Node) -> Path | None:
    """The module that a node names; None when it names none."""
    module = _scope(node_extras(node).metadata.get(_SCOPES, ""))
    if module is not None:
        return _parts([module])
    name = str(node.name or "")
    if "/" in name:
        return _parts(name.strip("/").split("/")[:-1])
    for value in node.inputs:
        if isinstance(value, gs.Constant) and "." in value.name and not value.name.startswith("onnx::"):
            # Without the module itself, which is one node, and the name of its weight.
            return tuple(value.name.split(".")[:-2])
    return None


def _scope(text: str) -> str | None:
    """The module in a list of dotted paths as PyTorch writes it, each inside of the one before, the last the node."""
    try:
        paths = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if not isinstance(paths, list) or len(paths) < 2 or not all(isinstance(each, str) for each in paths):
        return None
    return str(paths[-2])


def _parts(modules: Sequence[str]) -> Path:
    """`layer1`, `layer1.0` is `layer1`, `0`: exporters write the whole path of a module at each level."""
    path: list[str] = []
    before = ""
    for module in modules:
        inside = module.removeprefix(f"{before}.") if before else module
        path += [each for each in inside.split(".") if each]
        before = module
    return tuple(path)


@dataclass
class _Block:
    name: str
    entries: list[_Block | int] = field(default_factory=list)
    """blocks, and positions of nodes, in the order of their first nodes"""


def arranged(paths: Sequence[Path]) -> Blocks:
    """The tree of blocks for the module of each node. Modules of one entry are no blocks, and no block is large."""
    root = _Block("")
    known: dict[Path, _Block] = {(): root}
    for position, path in enumerate(paths):
        for depth in range(1, len(path) + 1):
            if path[:depth] not in known:
                made = known[path[:depth]] = _Block(path[depth - 1])
                known[path[: depth - 1]].entries.append(made)
        known[path].entries.append(position)
    root = _Block("", [_without_trivial(each) for each in root.entries])
    _divide(root)
    return _listed(root, len(paths))


def _without_trivial(entry: _Block | int) -> _Block | int:
    if isinstance(entry, int):
        return entry
    entries = [_without_trivial(each) for each in entry.entries]
    if len(entries) > 1:
        return _Block(entry.name, entries)
    (only,) = entries
    return only if isinstance(only, int) else _Block(f"{entry.name}.{only.name}", only.entries)


def _divide(block: _Block) -> None:
    for each in block.entries:
        if isinstance(each, _Block):
            _divide(each)
    while len(block.entries) > _MOST:
        runs = [block.entries[start : start + _RUN] for start in range(0, len(block.entries), _RUN)]
        block.entries = [_Block(_span(run), run) if len(run) > 1 else run[0] for run in runs]


def _span(run: Sequence[_Block | int]) -> str:
    positions = [position for entry in run for position in _positions(entry)]
    return f"nodes {min(positions) + 1} to {max(positions) + 1}"


def _positions(entry: _Block | int) -> Iterator[int]:
    if isinstance(entry, int):
        yield entry
        return
    for each in entry.entries:
        yield from _positions(each)


def _listed(root: _Block, nodes: int) -> Blocks:
    names, parents, of_node = [""], [-1], [0] * nodes
    waiting = [(root, 0)]
    while waiting:
        block, number = waiting.pop()
        for entry in block.entries:
            if isinstance(entry, int):
                of_node[entry] = number
            else:
                names.append(entry.name)
                parents.append(number)
                waiting.append((entry, len(names) - 1))
    return Blocks(tuple(names), tuple(parents), tuple(of_node))
