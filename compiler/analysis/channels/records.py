"""What operators say of their nodes beside where channels lie: weights, static inputs to cut, lists to rewrite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis, Part

if TYPE_CHECKING:
    from vggc.analysis.channels.channel_cut import Slicing

Along = TypeVar("Along")
Other = TypeVar("Other")


@dataclass(frozen=True, eq=False)
class Weighing(Generic[Along]):
    """A node that mixes channels with weights, and what lies along its input and output channels.

    `data` and `axis`: the input with the activations and the axis its channels lie along; `out_axis` that of output 0.
    `weight`: the input with the weights, None when both operands are computed; `weight_in` and `weight_out`: its axes
    along the input and output channels. With `blocks` > 1 (a grouped convolution) the output channels of a block see
    the input channels of that block only, so axis 1 of the weights runs inside a block. `inputs` and `outputs` always
    run over all channels; they are None where none of them can go.
    A depthwise node has the same channels on both sides.
    """

    node: gs.Node
    data: int
    axis: int
    out_axis: int
    weight: int | None
    bias: int | None
    weight_in: int | None
    weight_out: int | None
    blocks: int
    inputs: Along | None
    outputs: Along | None
    depthwise: bool = False

    def by(self, of: Callable[[Along], Other]) -> Weighing[Other]:
        """The same with `of` what lies along the channels."""
        lying = (None if each is None else of(each) for each in (self.inputs, self.outputs))
        return Weighing(**{**vars(self), **dict(zip(("inputs", "outputs"), lying, strict=True))})


Counting = Literal["zero", "absent", "lowest", "highest"]
"""What a removed channel counts as where a node looks at all channels: zero in a sum; in a norm's mean, a maximum and a
minimum it takes no part."""


@dataclass(frozen=True, eq=False)
class Contraction:
    """A node whose results have all channels along an axis of an input in them, each as one summand or candidate."""

    node: gs.Node
    input: int
    axis: int
    along: Axis
    counting: Counting = "zero"


@dataclass(frozen=True, eq=False)
class Norm:
    """A node that subtracts a mean and divides by a deviation, both of the channels that stay.

    A layer norm has statistics over some `axes`, among them the `axis` that the channels lie along. A group norm has
    them over each of `blocks` equal blocks of channels and all that follows; its input is (N, channels, ...) or
    (N, blocks, anything). `by_block`: its scale and shift are those of blocks, not of channels.
    """

    node: gs.Node
    along: Axis
    axis: int = 1
    axes: tuple[int, ...] = ()
    blocks: int = 0
    by_block: bool = False


@dataclass(frozen=True, eq=False)
class Scaling:
    """A share of a node's multiply-accumulate operations, which shrinks in proportion to each of some axes."""

    node: gs.Node
    axes: tuple[Axis, ...]
    share: Fraction


@dataclass(eq=False)
class Cut:
    """How a static input of a node shrinks: along whole axes, and along one that runs inside the blocks of axis 0.

    Axis `inner[0]` of a grouped convolution's weights holds the channels `inner[1]` of one of `inner[2]` blocks; which
    block that is, the position along axis 0 tells.
    """

    node: gs.Node
    input: int
    axes: dict[int, Axis] = field(default_factory=dict)
    inner: tuple[int, Axis, int] | None = None


@dataclass(frozen=True, eq=False)
class Operand:
    """An input that lists sizes or positions along axes of the node's output, some of which change when channels go.

    `wanted` gives the new number of each entry that must change. `lengths` are the entries that are nothing but the
    length of an axis; with `inferred`, an entry of -1 follows from the others.
    """

    node: gs.Node
    input: int
    wanted: Callable[[Slicing], dict[int, int]]
    lengths: Mapping[int, Axis | Part | None] = field(default_factory=dict)
    inferred: bool = False
