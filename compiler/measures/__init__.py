"""Measures that a recipe can use in `require` and `when`."""

from vggc.measures.measure import Measure, Timing, format_value, measure
from vggc.measures.subject import Subject

__all__ = ["Measure", "Subject", "Timing", "format_value", "measure"]
