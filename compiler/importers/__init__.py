"""Bring models of other frameworks into ONNX, each by the converter that its field maintains, and compare the two."""

from vggc.importers.convert import Converted, convert_source
from vggc.importers.sources import Source, source_of

__all__ = ["Converted", "Source", "convert_source", "source_of"]
