"""What operators say of their nodes beside where channels lie: weights, static inputs to cut, lists to rewrite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import onnx_graphsurgeon as gs

from vggc.analysis.channels.axes import Axis, Part

if TYPE_CHECKING:
    from vggc.analysis.channels.slicing import Slicing


@dataclass(frozen=True, eq=False)
class Weighing:
    """How a node with weights mixes channels: `inputs` channels into `outputs` channels, None where none shrink.

    `data` is the input that carries activations and `axis` its channel axis; `out_axis` that of output 0. `weight` is
    the input with the weights, None when both operands are computed. The weights' axes `weight_in` and `weight_out`
    run over the channels of one of `blocks` groups: over all of them when `blocks` is 1.
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
    inputs: Axis | None
    outputs: Axis | None
    depthwise: bool = False


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
