"""Sums, means and extremes over axes."""

from __future__ import annotations

import torch

from vggc.recovery.operators.call import Call, Operator, Tensor


def _reduction(function: Operator) -> Operator:
    """An operator that reduces `axes`: all of them when none are given, unless `noop_with_empty_axes` is set."""

    def reduce(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
        given = call.numbers("axes", axes)
        if not given and call.get("noop_with_empty_axes", 0):
            return x
        return function(x, given or list(range(x.dim())), bool(call.get("keepdims", 1)))

    return reduce


def _product(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted((each % x.dim() for each in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _extreme(function: Operator) -> Operator:
    def index(call: Call, x: Tensor) -> Tensor:
        return function(x, call.get("axis", 0), keepdim=bool(call.get("keepdims", 1))).cpu()

    return index


def top_k(call: Call, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    values, places = torch.topk(
        x, int(k), call.get("axis", -1), bool(call.get("largest", 1)), bool(call.get("sorted", 1))
    )
    return values, places


OPERATORS: dict[str, Operator] = {
    "ArgMax": _extreme(torch.argmax),
    "ArgMin": _extreme(torch.argmin),
    "CumSum": lambda call, x, axis: torch.cumsum(x, int(axis)),
    "ReduceL1": _reduction(lambda x, axes, keep: x.abs().sum(axes, keepdim=keep)),
    "ReduceL2": _reduction(lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keepdim=keep)),
    "ReduceLogSumExp": _reduction(lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep)),
    "ReduceMax": _reduction(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceMean": _reduction(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceMin": _reduction(lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    "ReduceProd": _reduction(_product),
    "ReduceSum": _reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "ReduceSumSquare": _reduction(lambda x, axes, keep: x.square().sum(axes, keepdim=keep)),
    "TopK": top_k,
}
