"""Export a PyTorch module to an ONNX model that computes the same results.

Only this package imports torch, and only inside functions, so that vggc works without it.
"""

from vggc.pytorch.inputs import Dynamic, InputSpec, parse_dynamic, parse_input
from vggc.pytorch.model import ExportedModel, Request, export_model
from vggc.pytorch.module import is_factory, is_module

__all__ = [
    "Dynamic",
    "ExportedModel",
    "InputSpec",
    "Request",
    "export_model",
    "is_factory",
    "is_module",
    "parse_dynamic",
    "parse_input",
]
