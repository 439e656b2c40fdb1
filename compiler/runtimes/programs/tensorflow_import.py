"""Convert Keras, SavedModel and TFLite models to ONNX with tf2onnx, and run them.

A function of this file takes `kind`: keras, saved_model or tflite. In ONNX, images have their channels first: an input
or output of 4 dimensions, (N, H, W, C), becomes (N, C, H, W), unless the caller keeps the layout.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

OPSET = 17
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


class Refused(Exception):
    """The source cannot be converted, for a reason that the user can do something about."""

    help = ""

    def __init__(self, text: str, help: str = "") -> None:
        super().__init__(text)
        self.help = help


def convert(source: str, output: str, kind: str, channels_first: bool) -> dict[str, Any]:
    """Write the ONNX file. Returns `inputs` and `outputs`, each a name and whether it was transposed, in order."""
    if kind == "tflite":
        return _convert_tflite(source, output, channels_first)
    call, specs, names = _function(source, kind)
    images = [each.name for each in specs if channels_first and each.shape.rank == 4]
    function = tf.function(lambda *values: call(values))
    results = function.get_concrete_function(*specs).structured_outputs
    transposed = [channels_first and each.shape.rank == 4 for each in results]
    # tf2onnx names the results of a function like this.
    given = [f"Identity_{index}:0" if index else "Identity:0" for index in range(len(results))]
    model, _ = tf2onnx.convert.from_function(
        function,
        specs,
        opset=OPSET,
        inputs_as_nchw=images,
        outputs_as_nchw=[name for name, swap in zip(given, transposed, strict=True) if swap],
    )
    _rename_outputs(model, names)
    onnx.save(model, output)
    return {
        "inputs": [[each.name, each.name in images] for each in specs],
        "outputs": [[name, swap] for name, swap in zip(names, transposed, strict=True)],
        "version": f"tf2onnx {tf2onnx.__version__}, TensorFlow {tf.__version__}",
    }


def run(source: str, kind: str, facts: dict[str, Any], inputs: str, outputs: str) -> None:
    """Run the source on the arrays of `inputs` (.npz), as the ONNX model takes them, and write its `outputs` (.npz)."""
    with np.load(inputs) as arrays:
        values = [np.transpose(arrays[name], TO_LAST) if swap else arrays[name] for name, swap in facts["inputs"]]
    results = _run_tflite(source, values) if kind == "tflite" else _run_function(source, kind, values)
    with zipfile.ZipFile(outputs, "w") as archive:
        for (name, swap), result in zip(facts["outputs"], results, strict=True):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                array = np.transpose(result, TO_FIRST) if swap else np.asarray(result)
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def _function(source: str, kind: str) -> tuple[Callable[[Sequence[Any]], list[Any]], list[Any], list[str]]:
    """What the source computes of a list of tensors, the types of its inputs, and the names of its outputs."""
    return _keras(source) if kind == "keras" else _saved_model(source)


def _keras(source: str) -> tuple[Callable[[Sequence[Any]], list[Any]], list[Any], list[str]]:
    import keras

    try:
        # Safe mode refuses Lambda layers, which contain code.
        model = keras.models.load_model(source, compile=False)
    except (ValueError, TypeError) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        help = "load it with the Keras that wrote it, and write a SavedModel: model.export(FOLDER)"
        raise Refused(f"Keras {keras.__version__} cannot load `{Path(source).name}`: {text[0]}", help) from None
    if not model.inputs:
        raise Refused(
            f"`{Path(source).name}` is a Keras model without declared inputs",
            "call it once on an example before it is saved, or write a SavedModel: model.export(FOLDER)",
        )
    specs = [tf.TensorSpec(each.shape, each.dtype, name=each.name) for each in model.inputs]

    def call(values: Sequence[Any]) -> list[Any]:
        return list(tf.nest.flatten(model(list(values) if len(values) > 1 else values[0], training=False)))

    return call, specs, _unique([str(each) for each in model.output_names])


def _saved_model(source: str) -> tuple[Callable[[Sequence[Any]], list[Any]], list[Any], list[str]]:
    loaded = tf.saved_model.load(source)
    signature = loaded.signatures.get("serving_default")
    if signature is None:
        raise Refused(
            f"the SavedModel `{Path(source).name}` has no signature `serving_default`",
            "save it again with signatures, or with Keras: model.export(FOLDER)",
        )
    taken = signature.structured_input_signature[1]
    taken = {name: taken[name] for name in sorted(taken)}
    specs = [tf.TensorSpec(each.shape, each.dtype, name=name) for name, each in taken.items()]
    # TensorFlow lists them in another order in each process.
    names = sorted(signature.structured_outputs)

    def call(values: Sequence[Any]) -> list[Any]:
        # The function reads the variables of the loaded object, which must live as long.
        results = loaded.signatures["serving_default"](**dict(zip(taken, values, strict=True)))
        return [results[name] for name in names]

    return call, specs, _unique(names)


def _run_function(source: str, kind: str, values: Sequence[Any]) -> list[Any]:
    call, _, _ = _function(source, kind)
    return [np.asarray(each) for each in call([tf.constant(value) for value in values])]


def _interpreter(source: str) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    return Interpreter(model_path=source)


def _convert_tflite(source: str, output: str, channels_first: bool) -> dict[str, Any]:
    interpreter = _interpreter(source)
    details = (interpreter.get_input_details(), interpreter.get_output_details())
    inputs, outputs = (
        [(each["name"], channels_first and len(each["shape"]) == 4) for each in part] for part in details
    )
    model, _ = tf2onnx.convert.from_tflite(
        source,
        opset=OPSET,
        inputs_as_nchw=[name for name, swap in inputs if swap],
        outputs_as_nchw=[name for name, swap in outputs if swap],
    )
    _rename_outputs(model, names := _unique([_plain(name) for name, _ in outputs]))
    _rename_inputs(model, taken := _unique([_plain(name) for name, _ in inputs]))
    onnx.save(model, output)
    return {
        "inputs": [[name, swap] for name, (_, swap) in zip(taken, inputs, strict=True)],
        "outputs": [[name, swap] for name, (_, swap) in zip(names, outputs, strict=True)],
        "version": f"tf2onnx {tf2onnx.__version__}, TensorFlow {tf.__version__}",
    }


def _run_tflite(source: str, values: Sequence[Any]) -> list[Any]:
    interpreter = _interpreter(source)
    details = interpreter.get_input_details()
    for detail, value in zip(details, values, strict=True):
        interpreter.resize_tensor_input(detail["index"], value.shape)
    interpreter.allocate_tensors()
    for detail, value in zip(details, values, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def _plain(name: str) -> str:
    """`image` for `serving_default_image:0`."""
    return name.removeprefix("serving_default_").rpartition(":")[0] or name


def _unique(names: Sequence[str]) -> list[str]:
    """The names, with a number where one comes again."""
    return [
        f"{name}_{names[:index].count(name)}" if name in names[:index] else name for index, name in enumerate(names)
    ]


def _rename_outputs(model: Any, names: Sequence[str]) -> None:
    _rename(model, dict(zip([each.name for each in model.graph.output], names, strict=True)))


def _rename_inputs(model: Any, names: Sequence[str]) -> None:
    _rename(model, dict(zip([each.name for each in model.graph.input], names, strict=True)))


def _rename(model: Any, names: dict[str, str]) -> None:
    """Rename values of the main graph. A value that already has one of the names makes way."""
    used = {name for node in model.graph.node for name in (*node.input, *node.output)} - set(names)
    for name in [each for each in names.values() if each in used]:
        names[name] = f"{name}_inside"
    for node in model.graph.node:
        node.input[:] = [names.get(each, each) for each in node.input]
        node.output[:] = [names.get(each, each) for each in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.name = names.get(value.name, value.name)
