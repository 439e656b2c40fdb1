"""Operators that compute each number of their result from the numbers at its place: channels stay apart in them."""

from __future__ import annotations

from vggc.operators.activations import ACTIVATIONS

UNARY = frozenset(
    {
        *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Cos", "Cosh", "Erf"),
        *("Exp", "Floor", "Identity", "IsInf", "IsNaN", "Log", "Neg", "Not", "Reciprocal", "Round", "Sign", "Sin"),
        *("Sinh", "Sqrt", "Tan"),
        *(op for op, activation in ACTIVATIONS.items() if activation.operands == "attributes"),
    }
)
"""Operators of one input."""

WITH_SCALARS = frozenset(op for op, activation in ACTIVATIONS.items() if activation.operands == "scalars")
"""Operators of one input and single numbers."""

BROADCASTING = frozenset(
    {
        *("Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater"),
        *("GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum"),
        *("Where", "Xor"),
        *(op for op, activation in ACTIVATIONS.items() if activation.operands == "tensor"),
    }
)
"""Operators that repeat each input as the shape of the others asks (before opset 7, as attributes ask)."""

COMMUTATIVE = frozenset(
    {"Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Max", "Mean", "Min", "Mul", "Or", "Sum", "Xor"}
)
"""Operators that compute the same with their inputs in another order."""

ARITHMETIC = frozenset({"Add", "Div", "Mul", "Sub", "Sum"})
"""Operators that scale or shift what they read, where the other operand is constant."""
