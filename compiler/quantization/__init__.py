"""Quantization: which values and weights, on which grid, with which scales, and how the damage is kept small.

    plan = choose(graph, precision, ...)              what is quantized: sites (values) and products (weights)
    equalize(plan, samples)                           channels scaled alike, the function unchanged
    ranges = find_ranges(plan, data, calibration)     a Quantizer for each family of sites that share a scale
    insert(plan, ranges, encoded(plan, ranges, ...))  QuantizeLinear and DequantizeLinear
    round_weights(original, plan, samples)            weights whose rounding errors cancel, where asked for
    correct_biases(original, plan, samples)           mean shifts taken out

`process.quantize_graph` is all of that in order. Placement belongs to the target (`placement_tensorrt`,
`placement_onnxruntime`), ranges to calibration (`histogram`, `thresholds`, `searching`). `sensing` measures what each
node suffers, `blocks` stores weights alone in 4 bits, `half` is 16-bit floating point.
"""
