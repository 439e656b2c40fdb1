"""Quantization: which values and weights, on which grid, with which scales, and how its error is kept small.

    plan = choose(graph, context, precision, ...)              what is quantized: sites (values) and products (weights)
    equalize(plan, context, samples)                           channels scaled alike, the function unchanged
    ranges = find_ranges(plan, context, samples, calibration)  a Quantizer for each family of sites that share a scale
    insert(plan, context, quantizers, encoded(plan, ...))      QuantizeLinear and DequantizeLinear
    round_weights(original, plan, context, samples)            weights whose rounding errors cancel, where asked for
    correct_biases(original, plan, context, samples)           mean shifts taken out

`quantize_graph` is all of that in order. Placement belongs to the target (`placement_tensorrt`,
`placement_onnxruntime`), ranges to calibration (`histograms`, `thresholds`, `output_error`). `node_sensitivity` finds
the error that each node causes, `blocks` stores weights alone in 4 bits, `half_precision` is 16-bit floating point.
"""
