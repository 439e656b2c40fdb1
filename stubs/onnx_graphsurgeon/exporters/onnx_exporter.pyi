from collections.abc import Iterable, Mapping
from typing import Any

import onnx

class OnnxExporter:
    @staticmethod
    def export_attributes(attrs: Mapping[str, Any]) -> Iterable[onnx.AttributeProto]: ...
