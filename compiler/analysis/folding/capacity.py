"""What can be folded at a value, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from vggc.analysis.affine import Affine, ChannelAxis


@dataclass(frozen=True)
class Room:
    """The operators around a value can take in a scale and a shift of its channels.

    `positive`: only scales >= 0, for a MaxPool lies between. `shiftless`: no shift, and only scales > 0, for a Relu
    lies between. `linear`: no shift, for the size of a padded image is not known. `adds`: how many Add nodes a shift
    costs. `into`: the operators that take it in.
    """

    channels: ChannelAxis
    into: frozenset[str]
    positive: bool = False
    shiftless: bool = False
    linear: bool = False
    adds: int = 0

    def allows(self, affine: Affine, saves: int = 1) -> bool:
        """Whether an affine fits in, and takes no more nodes than the `saves` it makes unnecessary."""
        if (self.shiftless or self.linear or self.adds > saves) and affine.shift.any():
            return False
        if self.shiftless:
            return bool((affine.scale > 0).all())
        return not self.positive or bool((affine.scale >= 0).all())

    @property
    def freed(self) -> Self:
        """The same room, where there is an Add already."""
        return replace(self, adds=0) if self.adds else self

    def at(self, channels: ChannelAxis, *, positive: bool = False, shiftless: bool = False) -> Self:
        """The same room seen from the other side of an operator, which may add limits."""
        if channels is self.channels and positive <= self.positive and shiftless <= self.shiftless:
            return self
        return replace(
            self,
            channels=channels,
            positive=self.positive or positive,
            shiftless=self.shiftless or shiftless,
        )
