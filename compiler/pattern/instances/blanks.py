"""A node of a graph that is being generated: the pattern gives some of its inputs and attributes, others are free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from vggc.graph.links import static_shape
from vggc.pattern.instances.random_draws import Draw, Shape
from vggc.pattern.operators import OperatorSets


class Misfit(Exception):
    """What is given does not fit an operator: another instance is tried."""


@dataclass
class Free:
    """An input that may be anything; `name` is its capture, "" for one without a name."""

    name: str
    constant: bool
    """whether the rule computes with it"""


Make = Callable[[Free, Shape, np.dtype[Any], str, bool], gs.Tensor]


@dataclass
class Blank:
    """A node to be filled in. Absent optional inputs are None; `outputs` is how many outputs are wanted at least."""

    op: str
    inputs: list[gs.Tensor | Free | None]
    attributes: dict[str, Any]
    fixed: frozenset[str]
    """attributes that the pattern decides"""
    draw: Draw
    sets: OperatorSets
    make: Make
    outputs: int = 1
    extra: list[gs.Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inputs)

    def is_free(self, index: int) -> bool:
        return index < len(self.inputs) and isinstance(self.inputs[index], Free)

    def shape(self, index: int) -> Shape | None:
        """The shape of an input that is decided."""
        if index >= len(self.inputs):
            return None
        each = self.inputs[index]
        if each is None or isinstance(each, Free):
            return None
        shape = static_shape(each)
        if shape is None:
            raise Misfit
        return tuple(shape)

    def dtype(self, index: int) -> np.dtype[Any] | None:
        if index >= len(self.inputs):
            return None
        each = self.inputs[index]
        if each is None or isinstance(each, Free):
            return None
        assert isinstance(each.dtype, np.dtype)
        return each.dtype

    def first_type(self) -> np.dtype[Any]:
        """The type of the inputs that are decided, else that of the instance."""
        return next((found for at in range(len(self.inputs)) if (found := self.dtype(at)) is not None), self.draw.float)

    def primary(self, index: int = 0, rank: int | None = None, least: int = 0) -> Shape:
        """The shape of the input that a node works on; a free one gets `rank` axes, or at least `least`."""
        shape = self.shape(index)
        if shape is None:
            wanted = max(self.draw.rank, least) if rank is None else rank
            shape = self.draw.shape(wanted)
            self.put(index, shape)
        if (rank is not None and len(shape) != rank) or len(shape) < least:
            raise Misfit
        return shape

    def put(
        self,
        index: int,
        shape: Shape,
        dtype: np.dtype[Any] | str | None = None,
        fill: str = "any",
        *,
        constant: bool = False,
    ) -> None:
        """Decide an input that is free; one that is decided has to have the shape."""
        if index >= len(self.inputs) or self.inputs[index] is None:
            return
        each = self.inputs[index]
        if isinstance(each, Free):
            kind = np.dtype(dtype) if dtype is not None else self.first_type()
            self.inputs[index] = self.make(each, shape, kind, fill, constant)
        elif self.shape(index) != shape:
            raise Misfit

    def put_list(self, index: int, items: list[int]) -> None:
        """Decide an input that is a constant list of whole numbers."""
        each = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(each, Free):
            self.inputs[index] = self.make(each, (len(items),), np.dtype(np.int64), f"list:{items}", True)

    def set(self, name: str, value: Any) -> Any:
        """Decide an attribute, unless the pattern does; returns what it is."""
        if name not in self.fixed:
            self.attributes[name] = value
        return self.attributes.get(name)

    def given(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)
