"""The class of measures: a measure is a function of the compiled model, and its signature defines its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

import numpy as np

from vggc.diagnostics import CompileError
from vggc.diagnostics.number_text import human_bytes, human_seconds
from vggc.measures.subject import Subject
from vggc.options.schema import OptionFunction
from vggc.rewrite import Check
from vggc.values import Bytes, Ratio, Seconds

Better = Literal["higher", "lower"]
Kind = Literal["number", "ratio", "bytes", "seconds", "decibels", "quantity"]


class Timing(Seconds):
    """A measured time. `noise` is about how far the median of its bursts may be from the true one, relative to it."""

    noise: float

    @classmethod
    def of(cls, medians: Sequence[float], scale: float = 1.0) -> Timing:
        """The median of the medians of bursts, in seconds when `scale` is 1, else in parts of `scale` seconds."""
        timing = cls(float(np.median(medians)) * scale)
        timing.noise = median_noise(medians)
        return timing


def median_noise(values: Sequence[float]) -> float:
    """The standard error of the median of some values, relative to it, by the distance of their quartiles.

    Quartiles of normal errors are 1.35 standard deviations apart, and a median is 1.25 times as uncertain as a mean.
    """
    low, middle, high = (float(each) for each in np.percentile(values, (25, 50, 75)))
    return 1.25 / 1.35 * (high - low) / middle / len(values) ** 0.5 if middle else 0.0


@dataclass(frozen=True)
class Measure(OptionFunction):
    """A named measure of a model. Calling it measures: `accuracy(subject, data=test)`.

    better  which direction is an improvement
    unit    the unit in reports: "nodes", "dB"; "" when the value needs no unit
    check   returns what is wrong with its options, as far as it can be known before anything runs
    repeatable  whether the same model and data always give the same value, which may then be cached
    """

    better: Better
    unit: str
    check: Check | None = None
    repeatable: bool = True

    @property
    def kind(self) -> Kind:
        """The kind of its values. A limit of another kind is refused before anything runs."""
        result = get_type_hints(self.function)["return"]
        kinds: dict[Any, Kind] = {Ratio: "ratio", Bytes: "bytes", Seconds: "seconds"}
        return kinds.get(result, "quantity" if self.unit else "number")

    def __call__(self, subject: Subject, **options: Any) -> Any:
        """Measure. Raises CompileError, also for whatever a user's function raises."""
        try:
            return self.function(subject, **options)
        except CompileError:
            raise
        except Exception as error:
            if self.shipped:
                raise
            raise self.raised("measure", error) from error


def measure(
    *, better: Better, unit: str = "", check: Check | None = None, repeatable: bool = True
) -> Callable[[Callable[..., Any]], Measure]:
    """Declare a function `(subject, option=default, ...) -> Ratio | Bytes | Seconds | int | float` as a measure."""
    return lambda function: Measure(function.__name__, function, better, unit, check, repeatable)


def format_value(value: float, kind: Kind) -> str:
    """The text of a value in messages and tables: `93.27%`, `3.75 MB`, `2.31 ms`, `48`."""
    if kind == "ratio":
        return f"{100 * value:.2f}%"
    if kind == "bytes":
        return human_bytes(value)
    if kind == "seconds":
        return human_seconds(value)
    if kind == "decibels":
        return f"{value:.5g} dB"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.5g}"
