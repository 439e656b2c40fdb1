"""Convert an ONNX model to a SavedModel and to TFLite files with onnx2tf, and quantize it with TFLite's converter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx2tf

_SIGNATURE = "serving_default"


def convert(model: str, output: str, inputs: list[str]) -> None:
    """Write a SavedModel into the folder `output`, and model_float32.tflite and model_float16.tflite into it.

    `inputs` keep their layout, channels first. Operators inside are rewritten for channels last.
    """
    onnx2tf.convert(
        input_onnx_file_path=model,
        output_folder_path=output,
        keep_shape_absolutely_input_names=None,
        keep_ncw_or_nchw_or_ncdhw_input_names=inputs,
        copy_onnx_input_output_names_to_tflite=True,
        output_signaturedefs=True,
        non_verbose=True,
    )


def quantize(saved_model: str, samples: str | None, batch: int, output: str) -> None:
    """Write a TFLite file of a SavedModel with int8 weights. Its inputs and outputs stay float.

    With `samples`, an .npz file with arrays of the inputs' names, TFLite's converter runs the model on batches of
    `batch` rows, and chooses the range of each activation from the least and the largest number that it sees; the
    activations are int8 then. An operator without an int8 kernel stays float.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[_SIGNATURE])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if samples is not None:
        with np.load(samples) as arrays:
            feeds = {name: arrays[name] for name in arrays.files}

        def representative() -> Iterator[tuple[str, dict[str, Any]]]:
            for row in range(0, len(next(iter(feeds.values()))), batch):
                yield _SIGNATURE, {name: array[row : row + batch] for name, array in feeds.items()}

        converter.representative_dataset = representative
    Path(output).write_bytes(converter.convert())
