"""How the nodes of a model read its channel groups: the covariances of what they see on calibration samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.channels import Group, Groups, Weighted
from vggc.calibration.batch_rows import piece_bytes
from vggc.calibration.epilogue import epilogue
from vggc.calibration.matrix import WIDEST, AsMatrix, Unsuitable
from vggc.calibration.moments import Moments
from vggc.calibration.node_matrices import as_matrix
from vggc.calibration.recurrent_matrix import RecurrentMatrix
from vggc.calibration.row_choice import choose_rows, enough_rows
from vggc.calibration.samples import Samples, not_finite
from vggc.calibration.spill import Spill
from vggc.data import Batch
from vggc.execution.session import Session
from vggc.execution.threads import side_by_side
from vggc.graph import Graph
from vggc.graph.arrays import Array, Float64, Floats, Int64
from vggc.pruning.elimination import Problem

_AT_ONCE = 2
"""Batches that are run at the same time, while the rows of an earlier one are added up."""


@dataclass(frozen=True, eq=False)
class InputBlock:
    """Columns of one block of a node's rows whose covariance is known: the inputs of one problem.

    `columns` are their indices, (columns,).
    """

    name: str
    block: int
    columns: Int64


@dataclass(frozen=True, eq=False)
class GroupReader:
    """A node with constant weights that reads groups, as a matrix.

    atoms   (blocks, width) and groups: what each column of its rows belongs to, -1 for what stays
    scale   (blocks * outputs,) what a batch norm behind the node multiplies its outputs by
    result  what the graph says of the shape of its result behind the first axis, which is that of its input, or None
    """

    product: AsMatrix
    groups: Int64
    atoms: Int64
    scale: Float64
    result: tuple[int, ...] | None
    parts: tuple[InputBlock, ...]


class Readings:
    """The covariances of all rows that read some groups, gathered in one pass over the samples."""

    def __init__(self, groups: Groups, wanted: Iterable[Group], samples: Samples, spill: Spill, *, seed: int) -> None:
        self._groups = groups
        self._spill = spill
        self._ids = {group.id for group in wanted}
        self._readers: list[GroupReader] = []
        self._others: list[tuple[gs.Tensor, int, Int64, Int64]] = []
        self._energies: dict[int, Float64] = {index: np.zeros(groups[index].size) for index in self._ids}
        self._units: dict[str, Float64] = {}
        self._waiting: dict[str, list[Floats]] = {}
        self._find()
        self._gather(samples, np.random.default_rng(seed))

    def readers(self, group: Group) -> list[GroupReader]:
        """The nodes that read a group and can be repaired."""
        return [each for each in self._readers if (each.groups == group.id).any()]

    def problems(self, group: Group, reader: GroupReader) -> Iterator[tuple[InputBlock, Problem]]:
        """What a reader sees of a group, in parts one after the other, for all together can be large.

        Weights are scaled so that the reader's outputs have variance 1 in all.
        """
        matrix = reader.product.matrix()
        matrix *= self.unit(reader)[:, None, :]
        for part in reader.parts:
            mine = reader.groups[part.block, part.columns] == group.id
            if mine.any():
                atoms = np.where(mine, reader.atoms[part.block, part.columns], -1)
                weights = matrix[part.block][part.columns]
                yield part, Problem(np.asarray(self._spill.get(part.name, 0), np.float32), weights, atoms)

    def mean(self, part: InputBlock) -> Float64:
        """Of a part's columns, (columns,)."""
        return np.asarray(self._spill.get(part.name, 1), np.float64)

    def energies(self, group: Group) -> Float64:
        """For each atom, (size,), its share of what nodes without constant weights read; nothing repairs those."""
        return self._energies[group.id]

    def unit(self, reader: GroupReader) -> Float64:
        """For each output channel the factor by which `problems` scales its weights, (blocks, outputs)."""
        name = reader.product.node.outputs[0].name
        if name not in self._units:
            scale = reader.scale.reshape(reader.product.blocks, 1, -1)
            matrix = reader.product.matrix()
            matrix *= scale
            total = 0.0
            for part in reader.parts:
                weights = matrix[part.block][part.columns]
                total += float((weights * (self._spill.get(part.name, 0) @ weights)).sum())
            self._units[name] = scale[:, 0] / np.sqrt(total) if total > 0 else np.zeros_like(scale[:, 0])
        return self._units[name]

    def _find(self) -> None:
        graph = self._groups.graph
        read: set[int] = set()
        for weighted in self._groups.weighted:
            if weighted.depthwise or weighted.inputs is None or not self._ids & set(weighted.inputs.groups):
                continue
            try:
                reader = self._reader(as_matrix(graph, weighted.node), weighted)
            except Unsuitable:
                continue
            read.add(id(weighted.node))
            self._readers.append(reader)
        for each in self._groups.swept.contractions:
            channels = self._groups.of(each.along)
            # The mean of a norm written out node by node is not a reader of its own: others read what it normalises.
            if id(each.node) not in read and each.counting != "absent" and self._ids & set(channels.groups):
                self._others.append((each.node.inputs[each.input], each.axis, channels.group, channels.atom))

    def _reader(self, found: AsMatrix, weighted: Weighted) -> GroupReader:
        assert weighted.inputs is not None
        shape = (found.blocks, 1, found.channels)
        whole = (found.blocks, found.taps, found.channels)
        groups, atoms = (
            np.broadcast_to(each.reshape(shape), whole).reshape(found.blocks, found.width)
            for each in (weighted.inputs.group, weighted.inputs.atom)
        )
        if isinstance(found, RecurrentMatrix):
            scale = np.ones(found.outputs)
        else:
            scale = epilogue(self._groups.graph, found.node).affine.scale
        parts: list[InputBlock] = []
        for block in range(found.blocks):
            for columns in _split(groups[block], atoms[block]):
                parts.append(InputBlock(f"{found.node.outputs[0].name} {block} {len(parts)}", block, columns))
        return GroupReader(found, groups, atoms, scale, _result_shape(self._groups.graph, found), tuple(parts))

    def _gather(self, samples: Samples, random: np.random.Generator) -> None:
        values = {each.product.data.name for each in self._readers} | {value.name for value, *_ in self._others}
        if not values:
            return
        # A value that is asked for keeps onnxruntime from fusing the nodes around it.
        graph = self._groups.graph
        values |= {each.product.node.outputs[0].name for each in self._readers if each.result is None}
        moments = {part.name: Moments(compact=True) for each in self._readers for part in each.parts}
        session = Session(graph, sorted(values), optimise="all")
        totals: dict[int, Float64] = {}

        def run(batch: Batch) -> tuple[Batch, Batch]:
            return batch, _run(session, batch)

        # The samples themselves are read in this thread, for which their loader was made.
        for batch, found in side_by_side("run", run, samples, _AT_ONCE):
            if not all(_is_finite(each) for each in found.values()):
                raise not_finite(f"`{_first_not_finite(graph, batch) or min(found)}`", samples.name)
            for reader in self._readers:
                self._take(reader, found, samples, random, moments)
            for index, (value, axis, groups, _) in enumerate(self._others):
                energy = np.square(np.moveaxis(np.asarray(found[value.name], np.float64), axis, -1))
                summed = energy.reshape(-1, len(groups)).sum(axis=0)
                totals[index] = totals.get(index, 0) + summed
        for reader in self._readers:
            self._count(reader, moments)
        for part_name in list(moments):
            each = moments.pop(part_name)
            self._spill.add(part_name, each.covariance[0].astype(np.float32))
            self._spill.add(part_name, each.mean[0])
        for index, (_, _, groups, atoms) in enumerate(self._others):
            share = totals[index] / max(float(totals[index].sum()), np.finfo(float).tiny)
            for group in self._ids & set(groups.tolist()):
                mine = groups == group
                np.add.at(self._energies[group], atoms[mine], share[mine])

    def _take(
        self,
        reader: GroupReader,
        found: dict[str, Array],
        samples: Samples,
        random: np.random.Generator,
        moments: dict[str, Moments],
    ) -> None:
        product, name = reader.product, reader.product.node.outputs[0].name
        x = found[product.data.name]
        shape = found[name].shape if reader.result is None else (len(x), *reader.result)
        count = product.count(x.shape, shape)
        chosen = choose_rows(count, enough_rows(product.width, product.blocks), len(samples), random)
        waiting = self._waiting.setdefault(name, [])
        waiting.append(product.rows(x, shape, chosen))
        if sum(each.nbytes for each in waiting) >= piece_bytes(product.blocks, product.width):
            self._count(reader, moments)

    def _count(self, reader: GroupReader, moments: dict[str, Moments]) -> None:
        """Add the rows that wait to the moments: small pieces cost more for sums than for products."""
        waiting = self._waiting.pop(reader.product.node.outputs[0].name, [])
        if not waiting:
            return
        rows = np.concatenate(waiting, axis=1)
        nothing = np.zeros((rows.shape[1], 1), np.float32)
        for part in reader.parts:
            own = rows[part.block]
            columns = own if len(part.columns) == own.shape[1] else own[:, part.columns]
            moments[part.name].add(columns[None], nothing)


def _run(session: Session, batch: Batch) -> Batch:
    return session.run({each.name: batch[each.name] for each in session.inputs})


def _is_finite(array: Array) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _first_not_finite(graph: Graph, batch: Batch) -> str | None:
    """The name of the first value of a graph, in the order of its nodes, that is not finite for a batch."""
    names = [value.name for node in graph.nodes for value in node.outputs if value.name]
    found = _run(Session(graph, names), batch)
    arrays = ((name, found.get(name)) for name in names)
    return next((name for name, each in arrays if isinstance(each, np.ndarray) and not _is_finite(each)), None)


def _result_shape(graph: Graph, product: AsMatrix) -> tuple[int, ...] | None:
    x, y = graph.shape(product.data), graph.shape(product.node.outputs[0])
    if not x or not y or x[0] is None or x[0] != y[0]:
        return None
    sizes = tuple(size for size in y[1:] if isinstance(size, int))
    known = len(sizes) == len(y) - 1 and all(isinstance(size, int) for size in x[1:])
    return sizes if known else None


def _split(groups: Int64, atoms: Int64) -> list[Int64]:
    """The columns of one block's rows in parts that are not too long, in each of which an atom stands once."""
    if len(groups) <= WIDEST:
        return [np.arange(len(groups))]
    key = groups * (int(atoms.max()) + 2) + atoms
    order = np.argsort(key, kind="stable")
    first = np.concatenate([[True], key[order][1:] != key[order][:-1]])
    nth = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    turn = np.empty(len(order), np.int64)
    turn[order] = np.where(groups[order] < 0, np.arange(len(order)) // WIDEST, nth)
    return [
        piece
        for each in range(int(turn.max()) + 1)
        for piece in np.array_split(np.flatnonzero(turn == each), -(-int((turn == each).sum()) // WIDEST) or 1)
        if len(piece)
    ]
