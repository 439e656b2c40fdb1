"""The processes that train together: what they add up, and what the first tells the others.

Processes hold the same weights. Each computes its share of a batch, and DistributedDataParallel adds the gradients, so
that the result is that of one process up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import distributed

from vggc.recovery.operators.call import Tensor


class Team:
    """`size` processes, of which this one has the number `rank`. One process alone needs no communication."""

    def __init__(self, rank: int = 0, size: int = 1, device: Any = None) -> None:
        self.rank, self.size = rank, size
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def summed(self, numbers: Sequence[float]) -> list[float]:
        """The sums over all processes."""
        if self.size == 1:
            return list(numbers)
        together = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(together)
        found: list[float] = together.tolist()
        return found

    def summed_with_gradients(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, through which gradients flow back to each of them."""
        return tensor if self.size == 1 else _Sum.apply(tensor)

    def first(self, value: Any) -> Any:
        """What the first process gives here."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def parallel(self, module: Any) -> Any:
        """A module whose gradients are the means over all processes."""
        return module if self.size == 1 else torch.nn.parallel.DistributedDataParallel(module)


class _Sum(torch.autograd.Function):  # type: ignore[misc]
    """A sum over processes. The gradient of each summand is the sum of what each process computes of the result's."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        result = tensor.clone()
        distributed.all_reduce(result)
        return result

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        result = gradient.clone()
        distributed.all_reduce(result)
        return result
