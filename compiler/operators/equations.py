"""What the equation of an Einsum says: which axes of its operands are the same, and which of them it sums over."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_graphsurgeon as gs


@dataclass(frozen=True)
class Equation:
    """`bnc,cd->bnd`: a letter for each axis of each operand, and those of the result."""

    operands: tuple[str, ...]
    result: str

    @property
    def letters(self) -> list[str]:
        """All letters, each once, in the order of the operands."""
        return list(dict.fromkeys("".join(self.operands)))

    def summed(self, weight: int) -> list[str]:
        """The letters of the axes of operand `weight` that others have too, and over which the Einsum sums."""
        others = "".join(each for index, each in enumerate(self.operands) if index != weight)
        return [each for each in self.operands[weight] if each in others and each not in self.result]

    def made(self, weight: int) -> list[str]:
        """The letters of the axes of the result that only operand `weight` has."""
        others = "".join(each for index, each in enumerate(self.operands) if index != weight)
        return [each for each in self.operands[weight] if each not in others and each in self.result]


def equation(node: gs.Node) -> Equation | None:
    """The equation of an Einsum; None for one with dots, and for one that takes a diagonal (`ii`)."""
    text = str(node.attrs.get("equation", "")).replace(" ", "")
    given, arrow, result = text.partition("->")
    operands = tuple(given.split(","))
    letters = "".join(operands)
    if not arrow:
        # Without an arrow, the result has the letters that are there once, in order.
        result = "".join(sorted(letter for letter in letters if letters.count(letter) == 1))
    terms = (*operands, result)
    if len(operands) != len(node.inputs) or not all(each.isalpha() or not each for each in terms):
        return None
    if any(len(set(each)) < len(each) for each in terms) or not set(result) <= set(letters):
        return None
    return Equation(operands, result)
