"""Biases of zeros for products that have none, so that bias correction has a place to store its numbers."""

from __future__ import annotations

import numpy as np

from vggc.operators.roles import ROLES
from vggc.quantization.plan import Plan, Product


def give_biases(plan: Plan) -> None:
    """Give a bias of zeros to those products that can have one and do not."""
    graph = plan.graph
    for index, product in enumerate(plan.products):
        bias = ROLES[product.node.op].bias
        if product.bias is None and bias is not None:
            name = f"{product.node.name or product.node.outputs[0].name}_bias"
            constant = graph.constant(np.zeros(product.outputs, np.float32), name)
            if len(product.node.inputs) > bias:
                graph.set_input(product.node, bias, constant)
            else:
                product.node.inputs.append(constant)
            plan.products[index] = Product(product.node, product.data, product.weight, bias, product.axis)
