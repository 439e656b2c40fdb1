"""Shapes of values with names for dimensions, and the integers that a graph computes shapes with.

What ONNX's own shape inference tells is taken from it (`Graph.infer_shapes`). It does not tell enough of models with a
dynamic batch, as exporters write them:

- A dimension is a number or a name to it. For a product or a quotient of names, as every Reshape with a -1 has one, it
  invents a name.
- It follows integers through Shape, Gather and Concat, but not through Equal, Where and Expand; and it hands none of
  them out, which folding a Reshape's target and pruning need.

onnxruntime's `symbolic_shape_infer` knows products. It needs sympy, which vggc does not, and where it is not sure it
merges dimensions or guesses them. So this is an engine of our own: `multiples` is the arithmetic, `integer_values`
follows integers, `shape_rules` has the operators of which inference finds too little, `value_shapes` puts them together
and `static_values` adds what constants decide. A name stands for one number throughout, and nothing is guessed.
"""
