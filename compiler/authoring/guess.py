"""A value that vggc guessed for an option, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vggc.options import spell


@dataclass(frozen=True)
class Guess:
    """An option of a loader.

    value    a number, a list of numbers, or a text that stands in the recipe as it is: a word or arithmetic
    reason   why it has this value; empty when the reason of the option before it holds
    certain  whether the model or the folder shows it; otherwise the user should compare it
    """

    name: str
    value: Any
    reason: str
    certain: bool = True

    @property
    def text(self) -> str:
        """The option as a recipe gives it: `size=224`."""
        return f"{self.name}={self.value if isinstance(self.value, str) else spell(self.value)}"
