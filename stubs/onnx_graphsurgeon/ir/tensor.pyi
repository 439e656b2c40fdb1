from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

class LazyValues:
    tensor: onnx.TensorProto
    shape: list[int]
    dtype: np.dtype[Any]
    def load(self) -> NDArray[Any]: ...

class SparseValues(LazyValues):
    tensor: Any
    """an onnx.SparseTensorProto"""
