"""Convert an ONNX model to a SavedModel with onnx2tf, and that to TFLite files with TensorFlow's converter.

onnx2tf writes TFLite files too, but makes them of its Keras model: TensorFlow then writes all weights as JSON, twice,
which takes nine tenths of the time. Of the SavedModel, the same files take seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx2tf

_SIGNATURE = "serving_default"


def convert(model: str, output: str, inputs: list[str]) -> None:
    """Write a SavedModel with the signature `serving_default` into the folder `output`.

    `inputs` keep their layout, channels first. Operators inside are rewritten for channels last.
    """
    import tensorflow as tf
    import tf_keras

    converted = onnx2tf.convert(
        input_onnx_file_path=model,
        output_folder_path=output,
        keep_ncw_or_nchw_or_ncdhw_input_names=inputs,
        disable_model_save=True,
        non_verbose=True,
    )
    archive = tf_keras.export.ExportArchive()
    archive.add_endpoint(
        name=_SIGNATURE,
        fn=lambda *values: converted(values),
        input_signature=[tf.TensorSpec(each.shape, each.dtype, each.name) for each in converted.inputs],
    )
    archive.write_out(output)


def write_tflite(saved_model: str, output: str, weights: str, samples: str | None, batch: int) -> None:
    """Write a TFLite file of a SavedModel. Its inputs and outputs are float32, its weights of the type `weights`.

    With int8 weights and `samples`, an .npz file with arrays of the inputs' names, TFLite's converter runs the model on
    batches of `batch` rows, and chooses the range of each activation from the least and the largest number that it
    sees; the activations are int8 then. An operator without an int8 kernel stays float.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[_SIGNATURE])
    if weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if samples is not None:
        with np.load(samples) as arrays:
            feeds = {name: arrays[name] for name in arrays.files}

        def representative() -> Iterator[tuple[str, dict[str, Any]]]:
            for row in range(0, len(next(iter(feeds.values()))), batch):
                yield _SIGNATURE, {name: array[row : row + batch] for name, array in feeds.items()}

        converter.representative_dataset = representative
    Path(output).write_bytes(converter.convert())
