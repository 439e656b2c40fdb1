"""Sums, products and quotients of dimensions, exact where a dimension is known by its name alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Self

from vggc.graph.arrays import Size
from vggc.graph.writer import INVENTED


class Multiple(str):
    """A dimension that is a product of names, and perhaps of a number: `4 times batch`.

    It equals every other one of the same text, so the names are sorted.
    """

    __slots__ = ("names", "number")

    number: int
    names: tuple[str, ...]

    def __new__(cls, number: int, names: Iterable[str]) -> Self:
        ordered = tuple(sorted(names))
        self = super().__new__(cls, " times ".join([*([] if number == 1 else [str(number)]), *ordered]))
        self.number = number
        self.names = ordered
        return self


def factors(dimension: int | str) -> tuple[int, tuple[str, ...]]:
    """The number and the names that a dimension is the product of."""
    if isinstance(dimension, Multiple):
        return dimension.number, dimension.names
    return (1, (dimension,)) if isinstance(dimension, str) else (int(dimension), ())


def is_known(dimension: Size) -> bool:
    """Whether a dimension is a number, or made of names that the model gives, not of those that inference invents."""
    return dimension is not None and not any(name.startswith(INVENTED) for name in factors(dimension)[1])


def total(dimensions: Iterable[Size]) -> Size:
    """The sum of dimensions; None where they are not all multiples of the same names."""
    terms = [None if each is None else factors(each) for each in dimensions if each != 0]
    names = {None if term is None else term[1] for term in terms}
    if None in names or len(names) > 1:
        return None
    return _dimension(sum(term[0] for term in terms if term is not None), names.pop() or () if names else ())


def product(dimensions: Iterable[Size]) -> Size:
    """The product of dimensions; None where one of them is not known."""
    number = 1
    names: list[str] = []
    for each in dimensions:
        if each is None:
            return None
        times, own = factors(each)
        number *= times
        names += own
    return _dimension(number, names)


def quotient(whole: Size, part: Size) -> Size:
    """The dimension that, multiplied by `part`, gives `whole`; None where it is not known, or there is none."""
    if whole is None or part is None:
        return None
    (number, names), (divisor, divided) = factors(whole), factors(part)
    if divisor == 0 or number % divisor or Counter(divided) - Counter(names):
        return None
    return _dimension(number // divisor, (Counter(names) - Counter(divided)).elements())


def _dimension(number: int, names: Iterable[str]) -> Size:
    names = tuple(names)
    if number == 0 or not names:
        return number
    if number < 0:
        return None
    return names[0] if number == 1 and len(names) == 1 else Multiple(number, names)
