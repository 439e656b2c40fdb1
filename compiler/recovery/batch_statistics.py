"""Batch norms while a model trains: they normalize by the batch, and their statistics follow the batches.

A model whose norms do so trains faster and better than one whose statistics stay: what pruning has changed in the
values in front of a norm no longer has to be learnt by the weights. (Ioffe and Szegedy 2015.)
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vggc.recovery.operators.call import Call, Tensor, along
from vggc.recovery.team import Team

MOMENTUM = 0.05
"""The share of a batch in the statistics that are kept."""


class BatchStatistics:
    """Computes batch norms for a Twin; statistics are those of the batches of all processes of a team."""

    def __init__(self, team: Team) -> None:
        self._team = team

    def __call__(self, call: Call, x: Tensor, *parameters: Tensor) -> Tensor:
        """The norm of a batch, (samples, channels, ...). The parameters are scale, shift, mean and variance.

        Mean and variance change in place.
        """
        scale, shift, mean, variance = parameters
        epsilon = call.get("epsilon", 1e-5)
        if self._team.size == 1:
            return F.batch_norm(x, mean, variance, scale, shift, True, MOMENTUM, epsilon)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        (count,) = self._team.summed([x.numel() / x.shape[1]])
        centre = self._team.summed_with_gradients(x.sum(axes)) / count
        spread = self._team.summed_with_gradients((x - along(centre, x)).square().sum(axes)) / count
        with torch.no_grad():
            mean.lerp_(centre, MOMENTUM)
            variance.lerp_(spread * count / (count - 1), MOMENTUM)
        factor = scale * torch.rsqrt(spread + epsilon)
        return torch.addcmul(along(shift - centre * factor, x), x, along(factor, x))
