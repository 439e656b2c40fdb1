"""Which framework wrote a model, by its name and its files, and which formats no living converter reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vggc.diagnostics import Code, fail
from vggc.diagnostics.packages import PADDLE, TENSORFLOW, TORCH_EXPORT, Optional


@dataclass(frozen=True)
class Source:
    """A model of another framework: its main file or folder, its kind, and the program that converts it."""

    path: Path
    kind: str
    title: str
    program: str
    packages: Optional


_TENSORFLOW = {".keras": "keras", ".h5": "keras", ".hdf5": "keras", ".tflite": "tflite"}
_TITLES = {"keras": "Keras", "saved_model": "TensorFlow", "tflite": "TFLite", "paddle": "Paddle", "torch": "PyTorch"}

_REFUSED = {
    ".caffemodel": (
        "a Caffe model",
        "no maintained tool converts Caffe to ONNX. OpenCV reads it, cv2.dnn.readNetFromCaffe, but writes no ONNX: "
        "build the net in PyTorch, copy the weights that OpenCV's getParam returns, and use `vggc export`",
    ),
    ".prototxt": ("a Caffe net", "give a Keras, TensorFlow, TFLite, Paddle, PyTorch or ONNX model"),
    ".params": (
        "a file of MXNet's weights",
        "MXNet is archived. Its last release (1.9) converts a model, mxnet.onnx.export_model, in an old Python: 3.8",
    ),
    ".dnn": ("a CNTK model", "CNTK is archived. Its last release (2.7) writes ONNX, model.save(FILE, format=ONNX)"),
    ".cntk": ("a CNTK model", "CNTK is archived. Its last release (2.7) writes ONNX, model.save(FILE, format=ONNX)"),
    ".weights": (
        "a file of Darknet's weights",
        "build the net in PyTorch, load these weights into it, and use `vggc export`; OpenCV runs such a model, but "
        "writes no ONNX",
    ),
    ".pb": (
        "a frozen TensorFlow graph",
        "it does not say what its inputs and outputs are; convert it with their names: "
        "python -m tf2onnx.convert --graphdef FILE --inputs NAME:0 --outputs NAME:0 --output model.onnx",
    ),
    ".mlmodel": ("a Core ML model", "convert the model that it was made from"),
}


def source_of(path: Path) -> Source | None:
    """The source that a path names; None when it names none of the known formats, as for an ONNX model.

    Raises CompileError for a format that cannot be converted, with the way around, and for a folder without a model.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        return None if suffix == ".onnx" else _folder(path)
    if kind := _TENSORFLOW.get(suffix):
        return _source(path, kind, "tensorflow_import", TENSORFLOW)
    if suffix == ".pt2":
        return _source(path, "torch", "torch_import", TORCH_EXPORT)
    if suffix == ".pdmodel" or (suffix == ".json" and path.with_suffix(".pdiparams").is_file()):
        return _source(path, "paddle", "paddle_import", PADDLE)
    if suffix in _REFUSED:
        what, help = _REFUSED[suffix]
        raise fail(f"`{path}` is {what}, which vggc cannot convert", help=help, code=Code.SOURCE)
    return None


def _folder(path: Path) -> Source:
    if (path / "saved_model.pb").is_file():
        return _source(path, "saved_model", "tensorflow_import", TENSORFLOW)
    weights = sorted(path.glob("*.pdiparams"))
    if len(weights) > 1:
        raise fail(
            f"the folder `{path}` contains several Paddle models",
            help=f"name the model file, such as `{weights[0].with_suffix('.json')}`",
            code=Code.SOURCE,
        )
    for each in weights:
        for model in (each.with_suffix(".json"), each.with_suffix(".pdmodel")):
            if model.is_file():
                return _source(model, "paddle", "paddle_import", PADDLE)
    if list(path.glob("*-symbol.json")):
        raise fail(
            f"`{path}` contains an MXNet model, which vggc cannot convert",
            help=_REFUSED[".params"][1],
            code=Code.SOURCE,
        )
    raise fail(
        f"the folder `{path}` contains neither a SavedModel nor a Paddle inference model",
        help="a SavedModel has a file saved_model.pb, a Paddle model inference.json or .pdmodel with .pdiparams",
        code=Code.SOURCE,
    )


def _source(path: Path, kind: str, program: str, packages: Optional) -> Source:
    return Source(path, kind, _TITLES[kind], program, packages)
