"""Read an engine that a target wrote, and the sidecar that describes it.

An engine contains code, and loading an engine runs that code. So its bytes are returned only when their hash is the
one in the sidecar.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from vggc.diagnostics import Code, CompileError, Diagnostic, fail
from vggc.targets.contract import file_name_problem
from vggc.targets.engine_config import HARDWARE
from vggc.targets.engine_messages import TITLES
from vggc.targets.sidecar import FORMAT

_LARGEST = 64 << 20
"""Bytes of a sidecar. The sidecars that targets write have a few thousand."""

_HASH: dict[str, Any] = {"sha256": str}
_WANTED: dict[str, Any] = {
    "format": int,
    "flavour": str,
    "version": str,
    "network": str,
    "engine": {"file": str, "bytes": int, **_HASH},
    "compute_capabilities": [str],
    "tf32": bool,
    "options": {
        "workspace": (int, NoneType),
        "weight_streaming": bool,
        "refit": bool,
        "strip": bool,
        "version_compatible": bool,
        "hardware": (str, NoneType),
        "optimization": (int, NoneType),
    },
    "profiles": [dict],
    "inputs": [{"name": str, "type": str, "shape": [int]}],
    "outputs": [{"name": str, "type": str, "shape": [int]}],
    "onnx": {"data_sha256": (str, NoneType), **_HASH},
}
"""The keys of a sidecar that this module's users read, and their types."""


@dataclass(frozen=True)
class Sidecar:
    """A sidecar as it was read. `values` has at least the keys and types of `_WANTED`."""

    path: Path
    values: Mapping[str, Any]

    @property
    def engine(self) -> Path:
        """The engine beside the sidecar."""
        return self.path.with_name(self.values["engine"]["file"])

    @property
    def dynamic(self) -> bool:
        """Whether the engine takes inputs of several shapes."""
        return bool(self.values["profiles"])


def read_sidecar(path: Path) -> Sidecar:
    """Read the sidecar of an engine. Raises CompileError when it cannot be read or is not a sidecar that vggc wrote."""
    try:
        if path.stat().st_size > _LARGEST or not path.is_file():
            raise _no_sidecar(path, "it is not a file, or it is too large")
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise fail(f"cannot read the sidecar `{path}`: {error.strerror or error}", code=Code.SIDECAR) from None
    except (ValueError, RecursionError):
        raise _no_sidecar(path, "it is not JSON") from None
    if isinstance(values, dict) and values.get("format") != FORMAT and isinstance(values.get("format"), int):
        raise fail(
            f"the sidecar `{path}` has format {values['format']}, but this version of vggc reads format {FORMAT}",
            help="use the version of vggc that wrote it, or compile the model again",
            code=Code.SIDECAR,
        )
    if wrong := next(_mismatches(values, _WANTED, ""), ""):
        raise _no_sidecar(path, wrong)
    if values["flavour"] not in TITLES:
        raise _no_sidecar(path, f"`flavour` is `{values['flavour'][:40]}`")
    if (hardware := values["options"]["hardware"]) not in (None, *HARDWARE):
        raise _no_sidecar(path, f"`options.hardware` is `{hardware[:40]}`")
    if problem := file_name_problem(values["engine"]["file"]):
        raise CompileError(
            Diagnostic(f"the sidecar `{path}` does not name an engine file: {problem.message}", code=Code.SIDECAR)
        )
    return Sidecar(path, values)


def read_sidecar_of(engine: Path) -> Sidecar:
    """Read the sidecar beside an engine. Raises CompileError as `read_sidecar` does."""
    return read_sidecar(engine.with_name(f"{engine.name}.json"))


def read_engine(sidecar: Sidecar) -> bytes:
    """The bytes of an engine. Raises CompileError when their size or hash is not the one in the sidecar."""
    recorded = sidecar.values["engine"]
    try:
        if sidecar.engine.stat().st_size != recorded["bytes"]:
            raise _other_engine(sidecar)
        content = sidecar.engine.read_bytes()
    except OSError as error:
        raise fail(
            f"cannot read the engine `{sidecar.engine}`: {error.strerror or error}", code=Code.OTHER_ENGINE
        ) from None
    if hashlib.sha256(content).hexdigest() != recorded["sha256"]:
        raise _other_engine(sidecar)
    return content


def record_validation(sidecar: Sidecar, facts: Mapping[str, Any]) -> None:
    """Write `facts` about a run of the engine into its sidecar as `validated_on`. The file is replaced as a whole."""
    values = {**sidecar.values, "validated_on": dict(facts)}
    fresh = sidecar.path.with_name(f".{sidecar.path.name}.{os.getpid()}")
    try:
        fresh.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        fresh.replace(sidecar.path)
    finally:
        fresh.unlink(missing_ok=True)


def _mismatches(value: Any, wanted: Any, place: str) -> Iterator[str]:
    """Where a JSON value differs from `wanted`: a type, a tuple of types, a list of one kind, or keys with kinds."""
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            yield f"`{place or 'it'}` is not an object"
            return
        for name, kind in wanted.items():
            inner = f"{place}.{name}".lstrip(".")
            if name not in value:
                yield f"`{inner}` is missing"
            else:
                yield from _mismatches(value[name], kind, inner)
    elif isinstance(wanted, list):
        if not isinstance(value, list):
            yield f"`{place}` is not a list"
            return
        for entry in value:
            yield from _mismatches(entry, wanted[0], place)
    elif not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        yield f"`{place}` is {json.dumps(value)[:40]}"


def _no_sidecar(path: Path, why: str) -> CompileError:
    return fail(
        f"`{path}` is not the sidecar of an engine: {why}",
        help="vggc writes one beside each engine: `model.engine.json` describes `model.engine`",
        code=Code.SIDECAR,
    )


def _other_engine(sidecar: Sidecar) -> CompileError:
    return fail(
        f"the engine `{sidecar.engine}` is not the one that `{sidecar.path.name}` describes: its SHA-256 differs",
        help="an engine contains code: load it only from a source you trust, or build it again from its model",
        code=Code.OTHER_ENGINE,
    )
