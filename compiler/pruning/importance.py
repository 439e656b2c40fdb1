"""How much each atom of a channel group matters, by its weights or its activations: one number for each atom.

Each function returns (size,) non-negative numbers, larger ones for what should stay. The scores of a group add up to 1,
so that in every group the same share of the sum is the same loss.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vggc.analysis.channels import Channels, Group
from vggc.calibration.matrix import Unsuitable
from vggc.calibration.node_matrices import as_matrix
from vggc.graph import Graph
from vggc.graph.arrays import Float64
from vggc.pruning.group_readers import Readings


def l1(graph: Graph, group: Group) -> Float64:
    """The absolute weights that make each channel, (size,) (Li et al. 2017)."""
    return _shares(group, [(channels, np.abs(filters).sum(axis=1)) for channels, filters in _filters(graph, group)])


def l2(graph: Graph, group: Group) -> Float64:
    """The squared weights that make each channel, (size,)."""
    return _shares(group, [(channels, np.square(filters).sum(axis=1)) for channels, filters in _filters(graph, group)])


def fpgm(graph: Graph, group: Group) -> Float64:
    """How far the weights of each channel are from those of the others, (size,) (He et al. 2019)."""
    found = []
    for channels, filters in _filters(graph, group):
        squares = np.square(filters).sum(axis=1)
        distances = squares[:, None] + squares[None, :] - 2 * filters @ filters.T
        found.append((channels, np.sqrt(np.maximum(distances, 0)).sum(axis=1)))
    return _shares(group, found)


def bn_scale(graph: Graph, group: Group) -> Float64:
    """The scales of the batch norms that each channel passes, (size,) (Liu et al. 2017)."""
    found = []
    for member in group.members:
        if member.node is not None and member.node.op == "BatchNormalization" and member.input == 1:
            array = graph.array(member.value)
            if array is not None:
                found.append((member.channels, np.abs(array.astype(np.float64))))
    return _shares(group, found)


def activation(readings: Readings, group: Group) -> Float64:
    """The mean square of each channel where it is read, (size,)."""
    total = np.array(readings.energies(group))
    for reader in readings.readers(group):
        energy = np.zeros(group.size)
        for part, problem in readings.problems(group, reader):
            mine = problem.atoms >= 0
            power = np.diagonal(problem.covariance) + np.square(readings.mean(part))
            np.add.at(energy, problem.atoms[mine], power[mine])
        total += energy / max(float(energy.sum()), np.finfo(float).tiny)
    return total / max(float(total.sum()), np.finfo(float).tiny)


def _filters(graph: Graph, group: Group) -> Iterator[tuple[Channels, Float64]]:
    """The weights that make the channels of a group, one row for each output channel of a node."""
    for each in (*group.producers, *group.carriers):
        if each.outputs is None:
            continue
        try:
            matrix = as_matrix(graph, each.node).matrix()
        except Unsuitable:
            continue
        yield each.outputs, matrix.transpose(0, 2, 1).reshape(-1, matrix.shape[1])


def _shares(group: Group, found: list[tuple[Channels, Float64]]) -> Float64:
    """Scores of channels as scores of a group's atoms: each node has the same weight in the sum."""
    total = np.zeros(group.size)
    for channels, scores in found:
        mine = channels.group == group.id
        own = np.zeros(group.size)
        np.add.at(own, channels.atom[mine], scores[mine])
        total += own / max(float(own.sum()), np.finfo(float).tiny)
    return total / max(float(total.sum()), np.finfo(float).tiny)
