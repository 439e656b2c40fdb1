"""Operators that make one number of a window, or of all positions of a channel."""

from __future__ import annotations

AVERAGES = frozenset({"AveragePool", "GlobalAveragePool"})
"""The average of equal numbers is that number, padding aside; of quantized numbers it needs rounding."""

MAXIMA = frozenset({"MaxPool", "GlobalMaxPool"})
"""They choose one of their numbers, and commute with every function that never falls."""

POOLS = AVERAGES | MAXIMA
"""Both keep channels apart, and a positive factor of a channel passes them."""
