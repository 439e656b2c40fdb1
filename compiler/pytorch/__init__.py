"""PyTorch in front: from a function that builds a module to an ONNX model that computes the same.

Only this package imports torch, and inside functions: vggc works without it.
"""

from vggc.pytorch.inputs import Dynamic, InputSpec, parse_dynamic, parse_input
from vggc.pytorch.model import Made, Request, export_model
from vggc.pytorch.module import is_factory

__all__ = ["Dynamic", "InputSpec", "Made", "Request", "export_model", "is_factory", "parse_dynamic", "parse_input"]
