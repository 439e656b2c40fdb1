"""What an operator's function gets beside the inputs of the node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensor = Any
"""A torch.Tensor; mypy sees no types of PyTorch, which is an optional package."""


@dataclass(frozen=True)
class Call:
    """A node that is computed.

    attributes  those that the node has
    opset       the version of ONNX's own operators in the model
    types       the ONNX types of the inputs, as numpy spells them; None for inputs that are left out or not known
    outputs     the number of outputs
    device      where numbers are computed; whole numbers, which sizes are made of, stay on the CPU
    floats      the type that all floating-point numbers are computed in
    """

    attributes: Mapping[str, Any]
    opset: int
    types: tuple[np.dtype[Any] | None, ...]
    outputs: int
    device: Any
    floats: Any

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or the operator's default."""
        return self.attributes.get(name, default)

    def numbers(self, name: str, given: Tensor | None) -> list[int] | None:
        """Whole numbers that older opsets have in an attribute and newer ones in an input."""
        if given is not None:
            return integers(given)
        found = self.get(name)
        if found is None:
            return None
        return [int(each) for each in found] if isinstance(found, list | tuple | np.ndarray) else [int(found)]


Operator = Callable[..., Any]


def integers(value: Tensor) -> list[int]:
    """The numbers of a tensor of whole numbers of one axis or none."""
    return [int(each) for each in value.reshape(-1).tolist()]


def along(numbers: Tensor, x: Tensor, axis: int = 1) -> Tensor:
    """Numbers, one for each index of an axis of `x`, in the shape that broadcasts to `x`; by default for channels."""
    return numbers.reshape([-1 if at == axis else 1 for at in range(x.dim())])
