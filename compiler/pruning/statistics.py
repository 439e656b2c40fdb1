"""Means and variances of a node's results after pruning, made good in its bias or in the batch norm behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from vggc.analysis.affine import batch_norm
from vggc.calibration.batch_rows import RowBatches
from vggc.calibration.matrix import AsMatrix
from vggc.graph import Graph
from vggc.graph.arrays import Float64
from vggc.graph.domains import is_standard
from vggc.operators.roles import RECURRENT

_MEAN, _VARIANCE = 3, 4


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and variance of each output channel, (blocks * outputs,), as it is and as it should be."""

    mean: Float64
    variance: Float64
    wanted_mean: Float64
    wanted_variance: Float64


def measure(batches: RowBatches, product: AsMatrix) -> Statistics:
    """The statistics of what a node computes, without its bias, and of what it should compute."""
    sums, count = np.zeros((4, product.blocks * product.outputs)), 0
    weights = product.matrix().astype(np.float32)
    for batch in batches():
        result = np.matmul(batch.inputs, weights).transpose(1, 0, 2).reshape(batch.target.shape)
        for at, values in ((0, result), (2, batch.target)):
            sums[at] += values.sum(axis=0, dtype=np.float64)
            sums[at + 1] += np.square(values, dtype=np.float64).sum(axis=0)
        count += len(result)
    means = sums[[0, 2]] / max(count, 1)
    variances = np.maximum(sums[[1, 3]] / max(count, 1) - np.square(means), 0.0)
    return Statistics(means[0], variances[0], means[1], variances[1])


def norm_behind(graph: Graph, node: gs.Node) -> gs.Node | None:
    """The batch norm with constant parameters that alone reads a node's result, when that is a product."""
    if node.op in RECURRENT:
        return None
    reader = graph.only_reader(node.outputs[0])
    if reader is None or reader.op != "BatchNormalization" or not is_standard(reader):
        return None
    return None if isinstance(batch_norm(graph, reader), str) else reader


def shift(graph: Graph, product: AsMatrix, bias: Float64) -> None:
    """Give a node another bias, (blocks * outputs,).

    Where a batch norm follows, its mean takes the change, and nothing is added.
    """
    norm = norm_behind(graph, product.node)
    if norm is None:
        product.store_bias(bias)
        return
    mean = _parameter(graph, norm, _MEAN)
    _set(graph, norm, _MEAN, mean - (bias - product.bias()))


def re_estimate(graph: Graph, product: AsMatrix, found: Statistics) -> None:
    """Let the results of a node, behind its batch norm if it has one, have the mean and variance they should have."""
    bias = product.bias()
    norm = norm_behind(graph, product.node)
    if norm is None:
        product.store_bias(bias + found.wanted_mean - (found.mean + bias))
        return
    mean, variance = _parameter(graph, norm, _MEAN), _parameter(graph, norm, _VARIANCE)
    epsilon = float(norm.attrs.get("epsilon", 1e-5))
    # A channel that is constant now, or was, has no variance to compare: only its mean is moved.
    known = (found.variance > 0) & (found.wanted_variance > 0)
    ratio = np.where(known, found.variance / np.where(known, found.wanted_variance, 1.0), 1.0)
    ratio = np.maximum(ratio, epsilon / (variance + epsilon))
    _set(graph, norm, _VARIANCE, (variance + epsilon) * ratio - epsilon)
    _set(graph, norm, _MEAN, found.mean + bias - (found.wanted_mean - mean) * np.sqrt(ratio))


def _parameter(graph: Graph, norm: gs.Node, index: int) -> Float64:
    array = graph.array(norm.inputs[index])
    assert array is not None
    return array.astype(np.float64)


def _set(graph: Graph, norm: gs.Node, index: int, values: Float64) -> None:
    old = norm.inputs[index]
    array = graph.array(old)
    assert array is not None
    graph.set_input(norm, index, graph.constant(values.astype(array.dtype), hint=old.name))
