"""Facts about ONNX operators, each stated once.

activations     what is known of each activation, in one table
elementwise     which operators compute each number by itself, broadcast, commute, scale and shift
data_movement   which operators only move numbers, reshape, or only look at shapes
pooling         which operators average or choose among positions
roles           which input of a product is data, weights or bias, and how the weights lie
randomness      which operators give another result each time
quantizers      which operators belong to quantized models
kernels         which operators a backend has kernels for
onnxruntime_kernels   which of them onnxruntime lacks, by type and opset: a table that a test writes
fusion          what a backend computes in the kernel of the product before
number_types    from which opset and on which GPUs a type of numbers can be used
"""
