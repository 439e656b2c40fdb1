"""The target `onnx`: the compiled model as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vggc.targets.contract import Artifact, Lowering, target


def _files(options: Mapping[str, Any]) -> Sequence[str]:
    # The data file is always listed, because only the size of the result decides whether it is needed.
    return (options["name"], f"{options['name']}.data")


@target(files=_files)
def onnx(lowering: Lowering, *, external: bool = False, name: str = "model.onnx") -> list[Artifact]:
    """Write the compiled model as an ONNX file.

    When the model is larger than 2 GiB, the limit of protobuf, its weights always go into a separate file.

    Options:
        external: put the weights into `<name>.data` beside the model instead of into the model.
        name: the file's name in the output folder.
    """
    written = lowering.save_model(name, external=external)
    return [Artifact.written(each, lowering.directory, "onnx") for each in written]
