"""What a compile measures of both models for its report: how long they take, and where they differ."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timing:
    """The seconds of a run: the median, and the quartiles of `runs` runs."""

    median: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class NodeTime:
    """The seconds of one kernel in a run. `values` are the first results of the nodes that it computes together."""

    values: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Latency:
    """How long the model as read and the compiled one take with onnxruntime on this CPU, in turns on the same inputs.

    inputs     what they ran on
    meant_for  the targets on a GPU that the compiled model is for, whose times are others; empty without one
    nodes      the kernels of both models that take time, the slowest first; profiling makes them a little slower
    other      of both models the seconds of kernels that belong to no node by name, such as changes of layout
    """

    inputs: str
    before: Timing
    after: Timing
    nodes: tuple[tuple[NodeTime, ...], tuple[NodeTime, ...]]
    other: tuple[float, float]
    meant_for: str = ""


@dataclass(frozen=True)
class Quantizer:
    """A value that is quantized, as the samples show it before that.

    low, high   its smallest and largest number
    scale       of its quantizer, the largest one when each channel has its own
    clipped     the share of its numbers outside of what the quantizer can represent
    limits      the smallest and the largest number that the quantizer can represent
    histogram   how many numbers are in each of equal bins from `low` to `high`
    """

    low: float
    high: float
    scale: float
    clipped: float
    limits: tuple[float, float]
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class ValueAccuracy:
    """A value of the compiled model beside the same value of the model as read, on the same samples.

    sqnr    10 log10(sum a² / sum (a - b)²) in dB; None where nothing differs
    lost    how much larger the noise is, as a share of the signal, than that of the inputs of the node
    causes  what of the node explains it, in words
    """

    value: str
    node: str
    sqnr: float | None
    lost: float
    causes: tuple[str, ...]


@dataclass(frozen=True)
class Disagreement:
    """A sample on which the models differ: its number in the data set, the classes that both choose, the difference.

    `difference` is ||a - b|| / ||a|| of the output. The classes are None where an output is not of classes.
    """

    sample: int
    difference: float
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Accuracy:
    """Where the compiled model differs from the model as read.

    inputs      the samples
    values      in the order in which the compiled model computes them
    quantizers  by value, those that are quantized
    output      the output that `confusion` and `worst` are about
    confusion   how many samples have class i in the model as read (row) and class j in the compiled one (column);
                empty when the output is not of classes
    worst       the samples on which the models differ most
    """

    inputs: str
    values: tuple[ValueAccuracy, ...]
    quantizers: dict[str, Quantizer] = field(default_factory=dict)
    output: str = ""
    confusion: tuple[tuple[int, ...], ...] = ()
    worst: tuple[Disagreement, ...] = ()
