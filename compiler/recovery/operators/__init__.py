"""ONNX operators as functions of PyTorch tensors, through which gradients flow: one small function for each.

A function gets a Call, which has the attributes of the node, and the inputs of the node; an input that is left out is
None. It returns a tensor, or a tuple with one for each output.
"""

from __future__ import annotations

from vggc.recovery.operators import data_movement, elementwise, norms, pooling, quantizers, reductions, resize, sizes
from vggc.recovery.operators import products as products_
from vggc.recovery.operators.call import Call, Operator

OPERATORS: dict[str, Operator] = {
    **elementwise.OPERATORS,
    **products_.OPERATORS,
    **norms.OPERATORS,
    **pooling.OPERATORS,
    **reductions.OPERATORS,
    **data_movement.OPERATORS,
    **sizes.OPERATORS,
    **resize.OPERATORS,
    **quantizers.OPERATORS,
}

__all__ = ["OPERATORS", "Call", "Operator"]
