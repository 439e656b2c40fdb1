"""Build an engine again from its sidecar and the compiled model, and compare it with the first one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggc.cache.keys import file_hash
from vggc.diagnostics import Code, CompileError, fail
from vggc.graph import Graph
from vggc.targets import flavours
from vggc.targets.engine_file import Sidecar, read_engine
from vggc.targets.engine_messages import TITLES
from vggc.targets.engine_process import Engine, Job, build
from vggc.targets.node_names import describer, origins
from vggc.targets.sidecar import OPTIONS

HOUR = 3600.0


@dataclass(frozen=True)
class Rebuilt:
    """An engine that was built again, and the model it was built from."""

    engine: Engine
    model: Path
    same: bool
    excuse: str
    """why a difference has no meaning; empty when the bytes should be the same"""


def rebuild(sidecar: Sidecar, model: Path | None = None, *, timeout: float | None = HOUR) -> Rebuilt:
    """Build the engine that a sidecar describes again. `model` is the compiled model, by default the one beside it.

    Raises CompileError when the release that built the engine is not installed, the model is not found or is not the
    right one, the engine beside the sidecar is not the one it describes, or the build fails.
    """
    values = sidecar.values
    flavour = values["flavour"]
    _check_release(flavour, values["version"])
    if sidecar.engine.exists():
        read_engine(sidecar)
    source = compiled_model(sidecar, model)
    graph = Graph.load(source)
    with tempfile.TemporaryDirectory(prefix="vggc-rebuild-") as folder:
        job = Job(
            package=flavour,
            model=str(source),
            engine=str(Path(folder) / "model.engine"),
            name=values["network"],
            compute=tuple(each.upper() for each in values["compute_capabilities"]),
            tf32=values["tf32"],
            profiles=tuple(_profile(sidecar, each) for each in values["profiles"]),
            origins=origins(graph),
            **{name: values["options"][name] for name in OPTIONS},
        )
        engine = build(job, describer(graph), timeout=timeout)
    excuse = ""
    if sidecar.dynamic:
        excuse = f"{TITLES[flavour]} does not build the same bytes twice when shapes vary"
    elif flavour == "tensorrt":
        excuse = "TensorRT chooses kernels by their measured time, which is different each time"
    return Rebuilt(engine, source, engine.sha256 == values["engine"]["sha256"], excuse)


def _check_release(flavour: str, recorded: str) -> None:
    if absent := flavours.missing(flavour):
        raise CompileError(absent)
    if (installed := flavours.full_release(flavour)) != recorded:
        package = flavour.replace("_", "-")
        raise fail(
            f"the engine was built with {TITLES[flavour]} {recorded}, but {installed} is installed",
            help=f"a different release builds a different engine: pip install {package}=={recorded}",
            code=Code.ENGINE_RUN,
        )


def compiled_model(sidecar: Sidecar, given: Path | None = None) -> Path:
    """The compiled model that an engine was built from: `given`, or the file beside the sidecar with the right hash.

    Raises CompileError when there is no such file, or `given` has another hash.
    """
    wanted = sidecar.values["onnx"]
    candidates = [given] if given else sorted(sidecar.path.parent.glob("*.onnx"))
    try:
        model = next((each for each in _files(candidates) if file_hash(each) == wanted["sha256"]), None)
        if model is None:
            sha256 = f"SHA-256 {wanted['sha256'][:16]}..."
            raise fail(
                f"`{given}` is not the model that the engine was built from: that one has {sha256}"
                if given
                else f"`{sidecar.path.parent}` does not contain the model that the engine was built from: "
                f"no ONNX file in it has {sha256}",
                help="give the compiled model with --onnx; `target onnx` in the recipe writes it beside the engine",
                code=Code.SIDECAR,
            )
        data = model.with_name(f"{model.name}.data")
        if wanted["data_sha256"] and (not data.is_file() or file_hash(data) != wanted["data_sha256"]):
            raise fail(
                f"the weights of `{model}` are not the ones that the engine was built from: `{data}` differs",
                code=Code.OTHER_ENGINE,
            )
    except OSError as error:
        raise fail(f"cannot read the model: {error.strerror or error}", code=Code.NO_MODEL) from None
    return model


def _files(candidates: Iterable[Path]) -> Iterable[Path]:
    return (each for each in candidates if each.is_file())


def _profile(sidecar: Sidecar, recorded: dict[str, Any]) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """Min, opt and max shape by input. Raises CompileError when the sidecar's profile has another form."""
    profile = {}
    for name, limits in recorded.items():
        shapes: list[Any] = [limits.get(each) for each in ("min", "opt", "max")] if isinstance(limits, dict) else []
        if not shapes or not all(isinstance(each, list) and all(type(n) is int for n in each) for each in shapes):
            raise fail(
                f"`{sidecar.path}` is not the sidecar of an engine: the profile of `{name}` has no shapes",
                code=Code.SIDECAR,
            )
        profile[name] = (shapes[0], shapes[1], shapes[2])
    return profile
