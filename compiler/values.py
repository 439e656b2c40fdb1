"""The types an option may have beside Python's own: what `50%`, `4GiB`, `2.5ms`, `30dB` and `1..8..32` mean.

Annotate a parameter of a pass, loader, measure or target with them; the recipe's values are converted and checked
against the annotation (see `vggc.options`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class Ratio(float):
    """A share: `50%` is 0.5."""


class Bytes(int):
    """A size in bytes: `4GiB` is 4294967296."""


class Seconds(float):
    """A duration in seconds: `2.5ms` is 0.0025."""


class Decibels(float):
    """A level in decibels: `30dB`."""


class Names(tuple[str, ...]):
    """One quoted name or glob, or a list of them: `"features.7"`, `["classifier.*", "head"]`."""


class File(str):
    """The quoted path of a file, relative to the recipe that names it. That the file is there is checked early."""


class Folder(str):
    """The quoted path of a folder, relative to the recipe that names it. That it is there is checked early."""


class Declared:
    """Base of the types whose values a recipe declares by `statement` and options refer to by name: data sets."""

    statement: ClassVar[str]


@dataclass(frozen=True)
class Interval:
    """`low..high` or `min..opt..max`, low end first."""

    points: tuple[int | float, ...]

    @property
    def low(self) -> int | float:
        return self.points[0]

    @property
    def high(self) -> int | float:
        return self.points[-1]

    @property
    def middle(self) -> int | float:
        """The optimum of `min..opt..max`; of `low..high`, the high end."""
        return self.points[len(self.points) // 2]

    def __str__(self) -> str:
        return "..".join(str(each) for each in self.points)


Dimension = int | Interval
"""One dimension of a shape in a recipe: `3`, or `1..8..32` where it varies."""


@dataclass(frozen=True)
class Within:
    """Limits of a number: `Annotated[int, Within(1, 4096)]`."""

    low: float
    high: float
