"""Weights as whole numbers, with a scale for each output channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vggc.diagnostics import Code, fail
from vggc.graph import Graph
from vggc.graph.arrays import Array, Floats
from vggc.quantization.grids import SMALLEST_SCALE, Grid, Quantizer
from vggc.quantization.plan import Plan, Product
from vggc.quantization.preconditions import plain_gemm
from vggc.rewrite import Context

WeightScales = Literal["max", "mse"]

_SHARES = np.linspace(1.0, 0.6, 21)
"""Of a channel's largest weight: the ranges that `mse` tries."""

DEAD = 2.0**-20
"""Of the largest scale of a node: channels whose scale would be smaller are dead, and not seen beside the others."""

_LEAST = 2.0**-14
"""Of the largest scale of a node: no scale is smaller. What rounding costs such a channel is not seen either."""

_ALL_DEAD = 2.0**-12
"""The scale of weights that are all zero: one that also float16 can store."""

NEGLIGIBLE = 32
"""Steps of the integers that products add up, of which there are tens of thousands: a smaller bias changes nothing."""


@dataclass(frozen=True)
class Codes:
    """Weights on a grid.

    numbers  the whole numbers, shaped like the weights
    scale    float32, one for each index of `axis`
    axis     along which the output channels lie
    """

    numbers: Array
    scale: Floats
    axis: int


def encoded(
    plan: Plan, context: Context, quantizers: Mapping[int, Quantizer], method: WeightScales
) -> dict[int, Codes]:
    """The weights of a plan's products on the grid, by id of the node.

    Raises CompileError for weights that are NaN or infinite, and where biases cannot be stored beside such weights.
    """
    graph = plan.graph
    found = {}
    vanish = []
    for products in sharing_weights(graph, plan.products):
        weights, axis = products[0].weights, products[0].axis
        array = graph.array(weights)
        assert array is not None
        matrix = rows(array, axis)
        if not np.isfinite(matrix).all():
            raise fail(
                f"the weights of {graph.label(products[0].node)} have NaN or infinite numbers",
                code=Code.WEIGHTS_NOT_FINITE,
            )
        steps = scales(matrix, plan.weight_grid, method)
        biases = []
        for product in products:
            if product.bias is None:
                continue
            bias = np.abs(np.asarray(graph.array(product.node.inputs[product.bias]), np.float64))
            # The groups of a ConvTranspose share their scales.
            bias = bias.reshape(-1, len(steps)).max(axis=0)
            step = quantizers[plan.family(product)].scale
            if plan.integer_bias:
                # An int32 bias must be able to hold it.
                steps = np.maximum(steps, (bias / (step * 2**30)).astype(np.float32))
            biases.append((product, bias, step))
        vanish += [
            product.node for product, bias, step in biases if bias.any() and (bias < NEGLIGIBLE * step * steps).all()
        ]
        codes = encode(array, axis, steps, plan.weight_grid)
        found.update({id(product.node): codes for product in products})
    if len(vanish) * 2 > len(plan.products):
        context.warn(
            f"the biases of {len(vanish)} of {len(plan.products)} nodes are too small beside what they are added to, "
            f"{graph.label(vanish[0])} first: are the samples prepared as for training?"
        )
    return found


def sharing_weights(graph: Graph, products: Iterable[Product]) -> list[list[Product]]:
    """Products by the weights that they read, in order: those of one list share a constant and its axis of outputs.

    Factors of Gemm nodes are multiplied into constants first.
    """
    found: dict[tuple[int, int], list[Product]] = {}
    for product in products:
        plain_gemm(graph, product)
        found.setdefault((id(product.weights), product.axis), []).append(product)
    return list(found.values())


def rows(weights: Array, axis: int) -> Floats:
    """Weights, whose output channels lie along `axis`, as (output channels, all else) in float64."""
    return np.moveaxis(np.asarray(weights, np.float64), axis, 0).reshape(weights.shape[axis], -1)


def scales(matrix: Floats, grid: Grid, method: WeightScales) -> Floats:
    """A scale for each row of (output channels, all else): (output channels,) in float64, rounded to float32.

    `max` represents each row's largest weight; `mse` has the least squared error, rounding and clipping together.
    Dead channels have no weights that a scale could serve. They get the median scale of the others, because a tiny one
    would be subnormal, or have no place in float16.
    """
    largest = np.abs(matrix).max(axis=1)
    chosen = largest / grid.high
    if method == "mse":
        best = np.full(len(matrix), np.inf)
        for share in _SHARES:
            tried = np.maximum(share * largest / grid.high, np.finfo(np.float64).tiny)
            error = np.square(grid.rounded(matrix, tried[:, None]) - matrix).sum(axis=1)
            better = error < best
            best[better], chosen[better] = error[better], tried[better]
    dead = (largest == 0) | (chosen < float(chosen.max(initial=0.0)) * DEAD)
    chosen = np.where(dead, _ALL_DEAD if dead.all() else np.median(chosen[~dead]), chosen)
    least = max(float(chosen.max(initial=0.0)) * _LEAST, SMALLEST_SCALE)
    return np.asarray(np.maximum(chosen, least).astype(np.float32), np.float64)


def encode(weights: Array, axis: int, scale: Floats, grid: Grid) -> Codes:
    """Weights on a grid, each rounded to the nearest number; `scale` has one for each index of `axis`."""
    shape = [1] * weights.ndim
    shape[axis] = -1
    numbers = grid.codes(np.asarray(weights, np.float64), scale.reshape(shape))
    return Codes(numbers, scale.astype(np.float32), axis)
