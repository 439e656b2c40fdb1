"""The JSON file beside a model that a target wrote for another runtime: `model.xml` has `model.xml.json`.

It says which runtime runs the model and with which settings, what the model takes and gives, what it was made from, and
how far its outputs were from onnxruntime's when it was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vggc.diagnostics import Code, fail
from vggc.graph.signature import ValueType

FORMAT = 1
KIND = "vggc runtime model"
"""The value of `kind`, by which a sidecar is recognized."""


@dataclass(frozen=True)
class RuntimeSidecar:
    """How to run a written model. `model` is a file or folder beside it, names and shapes are the ONNX model's."""

    runtime: str
    version: str
    model: str
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    provenance: dict[str, Any]
    compared: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        values = {"kind": KIND, "format": FORMAT, **asdict(self)}
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def input_types(self) -> tuple[ValueType, ...]:
        """The inputs as types with names and shapes."""
        return tuple(ValueType(each["name"], np.dtype(each["type"]), tuple(each["shape"])) for each in self.inputs)


def is_sidecar(path: Path) -> bool:
    """Whether this is a sidecar of a runtime's model. Raises nothing: a file that cannot be read is not one."""
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("kind") == KIND


def read_sidecar(path: Path) -> RuntimeSidecar:
    """Read a sidecar. Raises CompileError when it is not one, or of another format."""
    if not is_sidecar(path):
        raise fail(f"`{path}` does not describe a model of a runtime", code=Code.SIDECAR)
    values = json.loads(path.read_bytes())
    if values.pop("format", None) != FORMAT or set(values) != {"kind", *RuntimeSidecar.__dataclass_fields__}:
        raise fail(
            f"`{path}` was written by another version of vggc", help="compile the recipe again", code=Code.SIDECAR
        )
    del values["kind"]
    return RuntimeSidecar(**values)


def described(values: Iterable[ValueType]) -> list[dict[str, Any]]:
    """Inputs or outputs as JSON values."""
    return [{"name": each.name, "type": str(each.dtype), "shape": list(each.shape or ())} for each in values]
