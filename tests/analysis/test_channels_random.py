"""Networks nobody would think of: operators drawn at random on top of each other."""

from __future__ import annotations

import random

import numpy as np
import pytest


class Grower:
    """Adds random operators to values (name, channels, height and width)."""

    def __init__(self, net, seed):
        self.random = random.Random(seed)
        self.net = net
        self.values = [(net.conv("x", 3, 8), 8, 8)]

    def grow(self, steps):
        rules = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("add_")]
        while len(self.values) < steps:
            grown = self.random.choice(rules)(*self.random.choice(self.values[-4:]))
            self.values += grown or []
        heads = [self.net.head(name, channels, 3) for name, channels, _ in self.values[-3:]]
        return self.net.graph(self.net.op("Sum", *heads))

    def target(self, x, *tail):
        """A shape to reshape a value to, as a constant or computed."""
        if self.random.random() < 0.5:
            return self.net.ints(-1, *tail)
        batch = self.net.op("Slice", self.net.op("Shape", x), self.net.ints(0), self.net.ints(1))
        return self.net.op("Concat", batch, self.net.ints(*tail), axis=0)

    def add_conv(self, x, c, s):
        out, group = self.random.choice([4, 6, 8, 12]), self.random.choice([1, 1, 2, 4])
        group = 1 if c % group or out % group else group
        return [(self.net.conv(x, c, out, self.random.choice([1, 3]), group=group), out, s)]

    def add_depthwise(self, x, c, s):
        return [(self.net.op("Conv", x, self.net.weight(2 * c, 1, 1, 1), group=c), 2 * c, s)] if c <= 12 else None

    def add_norm(self, x, c, s):
        return [(self.net.norm(x, c), c, s)]

    def add_activation(self, x, c, s):
        return [(self.net.op(self.random.choice(["Relu", "Tanh", "Neg"]), x), c, s)]

    def add_sum(self, x, c, s):
        other = self.random.choice([each for each in self.values if each[1:] == (c, s)])
        return [(self.net.op(self.random.choice(["Add", "Mul", "Max"]), x, other[0]), c, s)]

    def add_gate(self, x, c, s):
        gate = self.net.conv(self.net.op("GlobalAveragePool", x), c, c, 1)
        return [(self.net.op("Mul", x, self.net.op("Sigmoid", gate)), c, s)]

    def add_concat(self, x, c, s):
        other = self.random.choice([each for each in self.values if each[2] == s])
        return [(self.net.op("Concat", x, other[0], axis=1), c + other[1], s)] if c + other[1] <= 24 else None

    def add_split(self, x, c, s):
        at = self.random.randint(1, c - 1) if c > 1 else 0
        parts = self.net.op("Split", x, self.net.ints(at, c - at), outputs=2, axis=1) if at else None
        return parts and [(parts[0], at, s), (parts[1], c - at, s)]

    def add_slice(self, x, c, s):
        first, last = sorted(self.random.sample(range(c + 1), 2))
        step = self.random.choice([1, 2, -1])
        bounds = (first, last, 1, step) if step > 0 else (last - 1, first - 1 if first else -1000, 1, step)
        return [(self.net.op("Slice", x, *map(self.net.ints, bounds)), len(range(first, last, abs(step))), s)]

    def add_gather(self, x, c, s):
        places = [self.random.randrange(c) for _ in range(self.random.randint(2, 8))]
        return [(self.net.op("Gather", x, self.net.ints(*places), axis=1), len(places), s)]

    def add_pad(self, x, c, s):
        before, after = self.random.randint(0, 2), self.random.randint(0, 2)
        return [(self.net.op("Pad", x, self.net.ints(0, before, 0, 0, 0, after, 0, 0)), c + before + after, s)]

    def add_shuffle(self, x, c, s):
        rows = self.random.choice([each for each in (2, 3, 4, c) if c % each == 0])
        x = self.net.op("Reshape", x, self.target(x, rows, c // rows, s, s))
        x = self.net.op("Transpose", x, perm=[0, 2, 1, 3, 4])
        return [(self.net.op("Reshape", x, self.target(x, c, s, s)), c, s)]

    def add_channels_last(self, x, c, s):
        out = self.random.choice([4, 6])
        x = self.net.op("Mul", self.net.op("Transpose", x, perm=[0, 2, 3, 1]), self.net.positive(c))
        return [
            (self.net.op("Transpose", self.net.op("MatMul", x, self.net.weight(c, out)), perm=[0, 3, 1, 2]), out, s)
        ]

    def add_space(self, x, c, s):
        if c % 4 == 0 and s <= 8:
            mode = self.random.choice(["DCR", "CRD"])
            return [(self.net.op("DepthToSpace", x, blocksize=2, mode=mode), c // 4, 2 * s)]
        return [(self.net.op("SpaceToDepth", x, blocksize=2), 4 * c, s // 2)] if c <= 6 and s >= 4 else None

    def add_resize(self, x, c, s):
        if s > 4:
            return [(self.net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), c, s // 2)]
        scales = self.net.constant([1.0, 1.0, 2.0, 2.0])
        return [(self.net.op("Resize", x, "", scales, mode="nearest"), c, 2 * s)]

    def add_features(self, x, c, s):
        if c * s * s > 300:
            return None
        x = self.net.op("Reshape", x, self.target(x, c * s * s))
        x = self.net.op("Tanh", self.net.linear(x, c * s * s, 16))
        return [(self.net.op("Reshape", x, self.target(x, 4, 2, 2)), 4, 2)]

    def add_what_needs_all(self, x, c, s):
        return [(self.net.op("Mul", x, self.net.op("Softmax", x, axis=self.random.choice([1, 3]))), c, s)]


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(net, removes, seed):
    graph = Grower(net(seed=seed), seed).grow(6 + seed % 6)
    # Among channels that were gathered at random, some are read by nobody.
    groups = removes(graph, matters=False)
    assert groups.prunable
    assert np.isfinite(groups.cost({}).macs)
