"""Disjoint sets of integers that are united step by step."""

from __future__ import annotations


class UnionFind:
    """Every integer is a set of its own until it is united with another one.

    Path halving, after Tarjan and van Leeuwen, "Worst-case analysis of set union algorithms", 1984.
    """

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def root(self, item: int) -> int:
        """The smallest member of the set that an integer is in."""
        parents = self._parents
        while (parent := parents.get(item, item)) != item:
            parents[item] = parents.get(parent, parent)
            item = parents[item]
        return item

    def unite(self, one: int, other: int) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        if first != second:
            self._parents[second] = first
