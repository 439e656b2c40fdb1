"""Quantization: which values and weights, on which grid, with which scales, and how its error is kept small.

    plan = choose(graph, context, precision, ...)              what is quantized: sites (values) and products (weights)
    seen = Observation(plan, samples, few, others, spill)      extents on all samples, windows and rows on a few
    equalize(plan, context, seen)                              channels scaled alike, the function unchanged
    ranges = by_extents(plan, ..., seen)                       a Quantizer for each family of sites that share a scale
    insert(plan, context, quantizers, encoded(plan, ...))      QuantizeLinear and DequantizeLinear
    adjust_products(original, plan, ...)                       weights whose errors cancel, biases without mean shifts

`quantize_graph` is all of that in order. Placement belongs to the target (`placement_tensorrt`,
`placement_onnxruntime`), ranges to calibration (`histograms`, `thresholds`, `output_error`). `node_sensitivity` finds
the error that each node causes, `time_saved` the time that quantizing it saves, and `mixed_precision` by both what
stays in a higher precision for a goal. `blocks` stores weights alone in 4 bits, `half_precision` is 16-bit floating
point.
"""
