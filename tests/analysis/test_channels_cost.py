"""The cost of widths is told without making the sliced graph."""

from __future__ import annotations

import pytest

from vggc.analysis.channels import channel_groups, groups_table
from vggc.analysis.costs import costs


def test_counts_and_atoms_cost_the_same(net):
    n = net()
    groups = channel_groups(n.graph(n.head(n.block(n.block("x", 3, 6), 6, 8), 8)))
    assert groups.cost({0: 4, 1: 3}) == groups.cost({0: [0, 1, 2, 5], 1: [1, 2, 7]})
    assert groups.cost({}) == groups.cost.full
    assert groups.cost({0: 4, 1: 3}).macs == 64 * (3 * 9 * 4 + 4 * 9 * 3) + 3 * 5
    assert groups.cost({0: 4, 1: 3}).bytes == 4 * groups.cost({0: 4, 1: 3}).params


def test_what_one_more_atom_saves(net):
    n = net()
    groups = channel_groups(n.graph(n.head(n.block(n.block("x", 3, 6), 6, 8), 8)))
    left = {0: 4, 1: 6}
    for group in (0, 1):
        before, after = groups.cost(left), groups.cost({**left, group: left[group] - 2})
        saved = groups.cost.saving(group, left, atoms=2)
        assert (saved.params, saved.macs) == (before.params - after.params, before.macs - after.macs)


def test_a_count_is_a_mean_where_atoms_differ(net):
    n = net()
    x = n.op("Gather", n.conv("x", 3, 4, bias=False), n.ints(0, 0, 0, 1, 2, 3), axis=1)
    groups = channel_groups(n.graph(n.op("Conv", x, n.weight(2, 6, 1, 1))))
    assert groups.cost({0: 2}).macs == 64 * (27 * 2 + 2 * 3)
    assert groups.cost({0: [0, 1]}).macs == 64 * (27 * 2 + 2 * 4)
    assert groups.cost({0: [1, 2]}).macs == 64 * (27 * 2 + 2 * 2)


@pytest.mark.parametrize("reader", ["Neg", "Conv"])
def test_constants_that_somebody_else_reads_stay(net, reader):
    n = net()
    weights = n.weight(6, 3, 1, 1)
    x = n.op("Conv", "x", weights)
    if reader == "Neg":
        total = n.op("Mul", n.op("GlobalAveragePool", n.op("Tile", n.op("Neg", weights), n.ints(1, 1, 2, 2))), "x")
    else:
        total = n.op("Conv", n.op("Abs", "x"), weights)
    graph = n.graph(n.head(x, 6), *([n.op("ReduceSum", total)] if reader == "Neg" else [n.head(total, 6)]))
    keep = {group.id: [0, 4] for group in channel_groups(graph).prunable[:1]}
    groups = channel_groups(graph)
    said = groups.cost(keep)
    groups.slice(keep)
    now = costs(graph)
    assert (said.params, said.macs, said.bytes) == (now.params, now.macs, now.weight_bytes)


def test_unknown_macs_are_none(net):
    n = net(shape=("batch", 3, "height", "width"))
    groups = channel_groups(n.graph(n.head(n.conv("x", 3, 6), 6)))
    assert groups.cost({0: 3}).macs is None and groups.cost.saving(0).macs is None
    assert groups.cost.unknown == (n.nodes[0].op_type + f" `{n.nodes[0].name}`",)
    assert groups.cost({0: 3}).params == groups.cost.full.params - 3 * (27 + 1 + 5)


def test_the_table_of_a_chain_takes_work_in_proportion(net, count_calls):
    def chain(length):
        n = net(shape=("batch", 4, 2, 2))
        x = "x"
        for _ in range(length):
            x = n.op("Relu", n.conv(x, 4, 4, 1))
        return n.graph(n.head(x, 4))

    rows = groups_table(chain(80))
    assert len(rows) == 81
    assert {row.params for row in rows[:79]} == {4 + 1 + 4}
    assert {row.macs for row in rows[:79]} == {4 * 8}
    small, large = chain(40), chain(160)
    assert count_calls(lambda: groups_table(large)) < 5 * count_calls(lambda: groups_table(small))
