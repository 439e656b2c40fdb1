"""Convert an ONNX model to a SavedModel and to TFLite files with onnx2tf."""

from __future__ import annotations

import onnx2tf


def convert(model: str, output: str, inputs: list[str], dynamic_range: bool) -> None:
    """Write a SavedModel into the folder `output`, and model_float32.tflite and model_float16.tflite into it.

    `inputs` keep their layout, channels first. `dynamic_range` also writes model_dynamic_range_quant.tflite, whose
    weights are int8. Operators inside are rewritten for channels last.
    """
    onnx2tf.convert(
        input_onnx_file_path=model,
        output_folder_path=output,
        keep_shape_absolutely_input_names=None,
        keep_ncw_or_nchw_or_ncdhw_input_names=inputs,
        copy_onnx_input_output_names_to_tflite=True,
        output_signaturedefs=True,
        output_dynamic_range_quantized_tflite=dynamic_range,
        non_verbose=True,
    )
