"""Networks nobody would think of: operators drawn at random on top of each other."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(networks, removes, seed):
    graph = networks.Grower(seed).grow(8 + seed % 8)
    # Among channels that were gathered at random, some are read by nobody.
    groups = removes(graph, 3, matters=False)
    assert groups.prunable
    assert np.isfinite(groups.cost({}).macs)
