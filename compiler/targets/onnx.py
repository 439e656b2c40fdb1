"""The target `onnx`: the compiled model as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vggc.targets.contract import Artifact, Lowering, target


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    # The data file is listed even where it is not needed: whether it is depends on the size of the result.
    return (options["name"], f"{options['name']}.data")


@target(files=_files)
def onnx(lowering: Lowering, *, external: bool = False, name: str = "model.onnx") -> list[Artifact]:
    """Write the compiled model as an ONNX file.

    A model beyond 2 GiB, the most a protobuf message can hold, always has its weights in a file of their own.

    Options:
        external: put the weights in `<name>.data` beside the model instead of into it.
        name: the file's name in the output folder.
    """
    written = lowering.save_model(name, external=external)
    return [Artifact.written(each, lowering.directory, "onnx") for each in written]
