"""Operators that make one number of a window, or of all positions of a channel."""

from __future__ import annotations

AVERAGES = frozenset({"AveragePool", "GlobalAveragePool"})
"""The average of equal numbers is that number, where no padding counts. The average of integers has to be rounded."""

MAXIMA = frozenset({"MaxPool", "GlobalMaxPool"})
"""They choose one of their numbers, so they commute with every function that never falls."""

POOLS = AVERAGES | MAXIMA
"""Both keep channels apart, and let a positive factor of a channel pass."""
