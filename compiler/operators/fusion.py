"""What a backend computes in the kernel of the product before it: a QuantizeLinear between the two splits that kernel.

Placement asks this where it puts QuantizeLinear, and the TensorRT verifier where it judges those of a model.

TensorRT. NVIDIA's list of fusions ("Types of Fusions" in the Developer Guide, now the Layer Fusion Catalog,
docs.nvidia.com/deeplearning/tensorrt/latest/performance/fusion-catalog.html) has four entries for activations behind a
convolution: ReLU, Clip, GELU (float16 and int8), and "Generic Activation", any pointwise layer of one input and one
output. "PointWise Fusion" makes such a layer of every ActivationType and of unary and elementwise operations. So every
activation counts that the importer (github.com/onnx/onnx-tensorrt, onnxOpImporters.cpp) writes with these: also
HardSwish, Mish and Celu, but not Shrink, which needs a Select. NVIDIA's answers agree for GELU (NVIDIA/TensorRT#1240),
LeakyRelu (#2134) and SiLU (#3205). PRelu is imported as a layer of two inputs, which the list does not mention.

No list says which kernels exist: depthwise convolutions in int8 have fewer functions (#3205, #3385), and so have old
GPUs (#3127). There TensorRT runs two kernels, as it would with a QuantizeLinear in between.

onnxruntime's CPU provider removes a Relu or Clip between an integer kernel and a QuantizeLinear with the same limits.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.operators.activations import ACTIVATIONS, clamp_limits

TENSORRT_ACTIVATIONS = frozenset(op for op, activation in ACTIVATIONS.items() if activation.tensorrt)
TENSORRT_EPILOGUE = TENSORRT_ACTIVATIONS | {"BatchNormalization"}


def quantizer_ceiling(graph: Graph, node: gs.Node) -> float | None:
    """The upper limit of a Relu or Clip that an unsigned QuantizeLinear behind it can apply; None for other nodes."""
    limits = clamp_limits(graph, node)
    return limits[1] if limits is not None and limits[0] == 0.0 else None
