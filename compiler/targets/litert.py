"""The target `litert`: the compiled model as a TFLite file for LiteRT, on phones and small machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vggc.calibration.samples import Samples
from vggc.data import Dataset
from vggc.data.npz import write_npz
from vggc.diagnostics import Code, CompileError, Diagnostic
from vggc.diagnostics.number_text import counted
from vggc.diagnostics.packages import ONNX2TF
from vggc.graph.arrays import Feeds
from vggc.graph.signature import ValueType
from vggc.targets import onnx2tf, runtime_model
from vggc.targets.contract import Artifact, Lowering, file_name_problem, target

_CALIBRATED = 256
"""Samples that TFLite's converter runs the model on, at most: its reference kernels are slow."""

_COMPARED, _HELD_BACK = 32, 8
"""Samples on which the int8 model is compared: one of so many is held back for it, and at most so many are used."""

_NO_SAMPLES: dict[str, Any] = {"samples": None, "batch": 1}

_BATCH = 4
"""Samples in a run of the comparison, when the model takes any number."""


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    return (options["name"], f"{options['name']}.json")


def _check(inputs: Sequence[ValueType], options: Mapping[str, Any]) -> list[Diagnostic]:
    problems = onnx2tf.problems("litert", [file_name_problem(options["name"])])
    if options["data"] is not None and options["weights"] != "int8":
        help = "write weights=int8: TFLite's converter chooses the ranges of int8 activations on the samples"
        problems.append(
            Diagnostic(f"`data` is of no use with weights={options['weights']}", help=help, code=Code.TARGET_OPTIONS)
        )
    return problems


@target(check=_check, check_graph=onnx2tf.check_graph, files=_files)
def litert(
    lowering: Lowering,
    *,
    weights: Literal["float32", "float16", "int8"] = "float32",
    data: Dataset | None = None,
    tolerance: float | None = None,
    name: str = "model.tflite",
) -> list[Artifact]:
    """Convert the compiled model to TFLite with onnx2tf, run it with LiteRT, and compare it with onnxruntime.

    It needs the package `onnx2tf` in a separate environment, because it does not support the onnx that vggc needs; a
    message says how to make it. Inputs stay channels-first. A model that `quantize` has quantized is refused, because
    onnx2tf would write float operators for it: `weights=int8, data=NAME` quantizes the float model with TFLite's own
    converter instead. `<name>.json` describes the model and the comparison; `vggc bench` reads it.

    Options:
        weights: how weights are stored. `int8` alone is TFLite's dynamic-range quantization: the file is a quarter as
            large, and activations stay float32 between operators.
        data: with `weights=int8`, samples on which TFLite's converter chooses the ranges of activations, which are
            int8 then too. It uses at most 256 of them. Up to 32 others, if there are enough, are for the comparison.
        tolerance: the allowed error of an output, relative to its largest number. By default 1e-4 for float32, 1e-2 for
            float16 and 5e-2 for int8.
        name: the file's name in the output folder.
    """
    if problems := _check((), {"name": name, "weights": weights, "data": data}):
        raise CompileError(*problems)
    path = lowering.claim(name)
    source = onnx2tf.converted(lowering)
    feeds: list[Feeds] = []
    inputs, calibration = runtime_model.RANDOM, _NO_SAMPLES
    if data is not None:
        feeds, inputs, calibration = _divided(lowering, data)
    arguments = {"saved_model": str(source), "output": str(path), "weights": weights, **calibration}
    runtime_model.convert(ONNX2TF, "onnx2tf_convert:write_tflite", arguments, "LiteRT")
    allowed = runtime_model.allowed_for(lowering.graph, weights) if tolerance is None else tolerance
    settings: dict[str, Any] = {"weights": weights, "activations": "float32" if data is None else "int8"}
    written = runtime_model.Written("litert", "litert", path, settings, allowed)
    return runtime_model.finish(lowering, written, feeds=feeds, inputs=inputs)


def _divided(lowering: Lowering, data: Dataset) -> tuple[list[Feeds], str, dict[str, Any]]:
    """Feeds to compare the int8 model on, their description, and the arguments that calibrate it on other samples."""
    judged, learned = Samples(lowering.graph, data).in_batches_of(_BATCH).apart(_HELD_BACK)
    judged, learned = judged.spread(_COMPARED), learned.spread(_CALIBRATED)
    batches = list(learned)
    samples = lowering.scratch("litert") / "samples.npz"
    write_npz(samples, {name: np.concatenate([each[name] for each in batches]) for name in batches[0]})
    seen = "" if judged.data is learned.data else " that the converter has not seen"
    described = f"{counted(judged.count, 'sample')} of `{data.name}`{seen}"
    return list(judged), described, {"samples": str(samples), "batch": learned.size if learned.fixed else 1}
