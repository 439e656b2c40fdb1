"""The numbers that a training changes: PyTorch parameters at the places of a graph's weights, and their optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vggc.graph.arrays import Array
from vggc.recovery.operators.call import Tensor
from vggc.recovery.operators.quantizers import on_grid
from vggc.recovery.settings import State
from vggc.recovery.twin import Place, Twin
from vggc.recovery.weights import Weight, tied

_DECAY = 1e-4
_SMALLEST = 1e-2
"""The least size of a tensor for its rate, such as for biases that are all zero."""

_LEAST_SCALE = 1 / 64
"""Scales stay above this share of their smallest number."""


class Parameters:
    """The weights of a graph as tensors. `trained` are those that gradients change; statistics of norms are others."""

    def __init__(self, twin: Twin, weights: Sequence[Weight], device: Any) -> None:
        self._weights = weights
        self._own = [each for each in weights if each.factors is None]
        self._start = [twin.tensor(each.array.astype(np.float64)) for each in self._own]
        zeros = ((id(each), each.zeros) for each in self._own if each.zeros is not None)
        self._zeros = {key: torch.from_numpy(mask).to(device) for key, mask in zeros}
        self._tensors = [
            torch.nn.Parameter(start.clone(), requires_grad=each.role != "statistic")
            for each, start in zip(self._own, self._start, strict=True)
        ]
        self.trained = [each for each in self._tensors if each.requires_grad]

    def placed(self) -> dict[Place, Tensor]:
        """The tensors at their places: on the grid of what the model stores, and zero where it keeps zeros."""
        found: dict[Place, Tensor] = {}
        for weight, value in tied(self._weights, map(self._usable, self._own, self._tensors, self._start)):
            found |= dict.fromkeys(weight.ids, value)
        return found

    def _usable(self, weight: Weight, tensor: Tensor, start: Tensor) -> Tensor:
        if weight.role == "scale":
            return tensor.clamp(min=float(start.min()) * _LEAST_SCALE)
        if weight.codes is not None:
            tensor = on_grid(tensor.clamp(*weight.limits), weight.codes)
        return tensor.masked_fill(self._zeros[id(weight)], 0.0) if id(weight) in self._zeros else tensor

    def arrays(self) -> list[Array]:
        return _arrays(self._tensors)

    def named(self, arrays: Sequence[Array]) -> dict[str, Array]:
        """Arrays by the names of their constants, scales that are products of others among them."""
        floors = [each.array.min() * _LEAST_SCALE if each.role == "scale" else None for each in self._own]
        usable = [each if low is None else np.maximum(each, low) for each, low in zip(arrays, floors, strict=True)]
        return {weight.name: array for weight, array in tied(self._weights, usable)}

    def load(self, arrays: Sequence[Array]) -> None:
        with torch.no_grad():
            for tensor, array in zip(self._tensors, arrays, strict=True):
                tensor.copy_(torch.from_numpy(array))

    def restart(self) -> None:
        with torch.no_grad():
            for tensor, start in zip(self._tensors, self._start, strict=True):
                tensor.copy_(start)

    def optimizer(self, rate: float) -> Any:
        groups = []
        for weight, tensor, start in zip(self._own, self._tensors, self._start, strict=True):
            size = float(start.square().mean().sqrt())
            if tensor.requires_grad:
                least = 0.0 if weight.role == "scale" else _SMALLEST
                groups.append({"params": [tensor], "peak": rate * max(size, least)})
        return torch.optim.AdamW(groups, lr=rate, weight_decay=_DECAY)

    def note(self, optimizer: Any, state: State) -> None:
        """Write the numbers and the optimizer's moments into the state."""
        state.weights = self.arrays()
        kept = [optimizer.state[each] for each in self.trained if each in optimizer.state]
        state.moments = _arrays([one for each in kept for one in (each["exp_avg"], each["exp_avg_sq"])])
        state.steps = int(kept[0]["step"]) if kept else 0

    def resume(self, optimizer: Any, state: State) -> None:
        """Take the optimizer's moments from a state."""
        for index, parameter in enumerate(self.trained):
            first, second = (
                # In the parameter's own order in memory, so that what follows is computed as it would have been.
                torch.empty_like(parameter, requires_grad=False).copy_(torch.from_numpy(each))
                for each in state.moments[2 * index : 2 * index + 2]
            )
            step = torch.tensor(float(state.steps))
            optimizer.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": second}


def _arrays(tensors: Sequence[Tensor]) -> list[Array]:
    return [np.array(each.detach().cpu().numpy()) for each in tensors]
