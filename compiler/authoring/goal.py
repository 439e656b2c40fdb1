"""What a user wants of a recipe: exact rewriting, fewer channels, smaller numbers, and the runtime it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vggc.values import Ratio

Runtime = Literal["onnxruntime", "tensorrt_rtx", "tensorrt"]


@dataclass(frozen=True)
class Goal:
    """What a recipe is to do.

    int8     quantize convolutions and matrix products to 8 bits
    fp16     cast floats to 16 bits
    keep     the share of the MACs that pruning leaves; None does not prune
    """

    int8: bool = False
    fp16: bool = False
    keep: Ratio | None = None

    @property
    def lossy(self) -> bool:
        """Whether it changes the results of the model, so that samples are needed."""
        return self.int8 or self.fp16 or self.keep is not None

    @property
    def words(self) -> str:
        """The goal in the comment of a recipe: "8-bit integers, 50 % of the MACs"."""
        parts = [
            "8-bit integers" if self.int8 else "",
            "16-bit floating point" if self.fp16 else "",
            "" if self.keep is None else f"{self.keep:.0%} of the multiplications",
        ]
        return ", ".join(each for each in parts if each) or "exact optimizations"


GOALS = {
    "optimize": Goal(),
    "int8": Goal(int8=True),
    "fp16": Goal(fp16=True),
    "int8_fp16": Goal(int8=True, fp16=True),
    "prune": Goal(keep=Ratio(0.5)),
    "prune_int8": Goal(keep=Ratio(0.5), int8=True),
}
"""The goals that `vggc new` writes recipes for, by name."""
