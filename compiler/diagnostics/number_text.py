"""Numbers as messages and tables show them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """`1 sample`, `2 samples`: a number of something whose plural takes an s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def human_count(number: int | None) -> str:
    """`3.75 M`, `78.7 M`, `312`; `?` when unknown."""
    return "?" if number is None else _scaled(number, ("", " k", " M", " G", " T"))


def human_bytes(number: float) -> str:
    """`553.5 MB` (decimal, as file managers show it)."""
    return _scaled(number, (" B", " kB", " MB", " GB", " TB"))


def human_seconds(number: float) -> str:
    """`2.31 ms`"""
    return _scaled(number * 1e9, (" ns", " us", " ms", " s"))


def _scaled(number: float, units: Sequence[str]) -> str:
    """A number in the first unit in which it is below 1000; each is a thousand times the one before."""
    for unit in units[:-1]:
        if abs(number) < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.4g}{units[-1]}"
