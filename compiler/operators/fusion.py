"""What a backend computes in the kernel of the product before: a QuantizeLinear in between splits that kernel.

Asked by whoever places QuantizeLinear and by whoever judges where a model has it.

TensorRT. NVIDIA's Layer Fusion Catalog (docs.nvidia.com/deeplearning/tensorrt/latest/performance/fusion-catalog.html)
lists Convolution with ReLU, GELU (float16 and int8), Clip and Scale, and "Convolution and Generic Activation": every
pointwise layer of one input and one output. PointWise Fusion makes such a layer of every ActivationType and of
elementwise operations, so of every activation that the importer writes with these (github.com/onnx/onnx-tensorrt,
onnxOpImporters.cpp): HardSwish, Mish and Celu too, and not Shrink, which it writes with Select. The catalog does not
name PRelu, a layer with a second input; int8 kernels of depthwise convolutions know fewer functions than the others
(NVIDIA/TensorRT#3205, #3385). Where no kernel has a function, TensorRT runs two, which is what a pair in between would
make of it in any case.

onnxruntime's CPU provider drops a Relu or Clip between an integer kernel and a QuantizeLinear that can do its work.
"""

from __future__ import annotations

import onnx_graphsurgeon as gs

from vggc.graph import Graph
from vggc.operators.activations import ACTIVATIONS, clamp_limits

TENSORRT_ACTIVATIONS = frozenset(op for op, activation in ACTIVATIONS.items() if activation.tensorrt)
TENSORRT_EPILOGUE = TENSORRT_ACTIVATIONS | {"BatchNormalization"}


def quantizer_ceiling(graph: Graph, node: gs.Node) -> float | None:
    """The upper limit of a Relu or Clip that an unsigned QuantizeLinear behind it can do, None for other nodes."""
    limits = clamp_limits(graph, node)
    return limits[1] if limits is not None and limits[0] == 0.0 else None
