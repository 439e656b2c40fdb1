"""Run a SavedModel with TensorFlow, and write warm-up requests for TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_SIGNATURE = "serving_default"


class Model:
    """The signature `serving_default` of a SavedModel. `threads`: None for one for each core."""

    def __init__(self, path: str, described: Mapping[str, Any], threads: int | None) -> None:
        if threads:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        # The function reads variables from the loaded object.
        self._loaded = tf.saved_model.load(path)
        self._call = self._loaded.signatures[_SIGNATURE]
        self._outputs = [each["name"] for each in described["outputs"]]

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by the names of the ONNX model, which onnx2tf numbers output_0, output_1 in this order."""
        results = self._call(**{name: tf.constant(array) for name, array in feeds.items()})
        ordered = sorted(results, key=lambda name: (len(name), name))
        return {name: np.asarray(results[key]) for name, key in zip(self._outputs, ordered, strict=True)}


def write_warm_up(folder: str, name: str, inputs: str) -> None:
    """Write `assets.extra/tf_serving_warmup_requests` of a SavedModel: one request with the arrays of an .npz file.

    The file holds a TFRecord of PredictionLog. tensorflow-serving-api defines it; its few fields are written here
    as protobuf's wire format, because that package needs a TensorFlow of its own version.
    """
    path = Path(folder, "assets.extra", "tf_serving_warmup_requests")
    path.parent.mkdir(parents=True, exist_ok=True)
    with np.load(inputs) as arrays:
        entries = b"".join(
            _field(2, _field(1, key.encode()) + _field(2, tf.make_tensor_proto(arrays[key]).SerializeToString()))
            for key in sorted(arrays.files)
        )
    request = _field(1, _field(1, name.encode()) + _field(3, _SIGNATURE.encode())) + entries
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(_field(6, _field(1, request)))


def _field(number: int, content: bytes) -> bytes:
    """A field of length-delimited content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
