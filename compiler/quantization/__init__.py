"""Quantization: which values and weights, on which grid, with which scales, and how the damage is kept small.

    plan = choose(graph, placement, only, except_)    what is quantized: sites (values) and products (weights)
    histograms = observe(plan, samples)               what the values are like
    insert(plan, quantizers, codes)                   the QuantizeLinear and DequantizeLinear nodes

Placement belongs to the target (`placement_tensorrt`, `placement_onnxruntime`), ranges to calibration (`histogram`,
`thresholds`).
"""
