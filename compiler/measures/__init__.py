"""Measures a recipe may name in `require` and `when`."""

from vggc.measures.measure import Measure, format_value, measure
from vggc.measures.outputs import accuracy, agreement, cosine, max_abs_error, sqnr, top5
from vggc.measures.resources import latency, macs, nodes, params, size
from vggc.measures.subject import Subject

__all__ = [
    "Measure",
    "Subject",
    "accuracy",
    "agreement",
    "cosine",
    "format_value",
    "latency",
    "macs",
    "max_abs_error",
    "measure",
    "nodes",
    "params",
    "size",
    "sqnr",
    "top5",
]
