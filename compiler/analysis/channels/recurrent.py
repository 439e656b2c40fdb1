"""LSTM, GRU and RNN: their inputs are channels like those of a matrix product, their states keep all."""

from __future__ import annotations

from fractions import Fraction

from vggc.analysis.channels.records import Weighing
from vggc.analysis.channels.sweep import Site, operator
from vggc.operators.roles import RECURRENT

_INPUTS = 2
"""The axis of inputs in X, (steps, batch, inputs) or (batch, steps, inputs), and in W, (directions, gates, inputs)."""


@operator(*RECURRENT)
def recurrent(site: Site) -> None:
    """X, W, R, and optionally B, lengths, and states."""
    if not site.is_static(1):
        site.freeze_all("reaches {}, whose weights are computed at run time")
        return
    axes = site.axes(0) or [None] * (_INPUTS + 1)
    site.freeze_except(axes, (_INPUTS,), "lies along an axis that {} steps over")
    for index in range(2, len(site.node.inputs)):
        if site.has(index):
            site.freeze_input(index, "is a state of {}, which keeps all of them")
    given, weights, states = axes[_INPUTS], site.shape(1), site.shape(2)
    site.cut(1, _INPUTS, given)
    site.contract(0, _INPUTS, given)
    site.weigh(Weighing(site.node, 0, _INPUTS, -1, 1, None, _INPUTS, None, 1, given, None))
    hidden, inputs = (None if shape is None else shape[-1] for shape in (states, weights))
    if isinstance(hidden, int) and isinstance(inputs, int):
        site.scales(given, share=Fraction(inputs, inputs + hidden))
        state = site.new(hidden)
        site.freeze(state, "is the state of {}: every step needs all of it")
        # Y (steps, directions, batch, hidden), and the last state and cell state (directions, batch, hidden).
        for output, rank in zip(range(len(site.node.outputs)), (4, 3, 3), strict=False):
            site.set([*[None] * (rank - 1), state], output)
