"""Build one TensorRT engine in a process of its own: `python -P -m vggc.targets.build_engine JOB.json`.

TensorRT tells what went wrong only through its logger, may end the whole process (it is C++ working on whatever the
model says), and cannot be interrupted. So the compiler never loads it: `engine_process` starts this module, hands it a
job file and reads the one line of JSON that it prints. The job's keys are `engine_process.Job`'s fields.

Standard input is the parent's life line: when the parent is gone, however it ended, reading it gives end of file, and
this process ends too.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METADATA_LIMIT = 4095
"""Bytes of a layer's metadata; TensorRT refuses a longer text with an ERROR."""

_PARSED = re.compile(r"(?:Static check for p|P)arsing node: (.*) \[\S+\]$")
_WEIGHT = re.compile(r"Importing initializer: (.*)$")
_LAYER = re.compile(r"\[ONNX Layer: ([^|\]]*)")
_CHUNK = 64 << 20


class Failed(Exception):
    """The engine cannot be built. `engine_messages.failed` says each `kind` to the user, with its `detail`."""

    def __init__(self, kind: str, **detail: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail


class Log:
    """What TensorRT says: everything from INFO upwards, with the node or weight it was importing at that moment."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._about = ""
        self.importing = True

    def add(self, severity: str, text: str) -> None:
        if severity == "VERBOSE":
            if self.importing and (found := _PARSED.match(text) or _WEIGHT.match(text)):
                self._about = found[1]
            return
        about = self._about if self.importing else ""
        self.entries.append({"severity": severity, "text": text, "about": about})


def main(arguments: list[str]) -> int:
    """Build as the job file says and print the result. Exit status 0 also when the build fails in an orderly way."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # TensorRT prints to both standard streams; what stands on the first one must be the result and nothing else.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    log = Log()
    try:
        result: dict[str, Any] = {"built": _build(job, log)}
    except Failed as error:
        result = {"failed": error.kind, **error.detail}
    except MemoryError:
        result = {"failed": "memory"}
    except Exception as error:  # noqa: BLE001 - this is the process boundary: the parent says it to the user
        result = {"failed": "exception", "text": f"{type(error).__name__}: {error}"}
    results.write(json.dumps({**result, "log": log.entries}))
    results.close()
    # Destructors of a half-made network are a needless risk once the result is out.
    os._exit(0)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _build(job: dict[str, Any], log: Log) -> dict[str, Any]:
    try:
        trt = importlib.import_module(job["package"])
    except (ImportError, OSError) as error:
        raise Failed("import", text=str(error)) from None
    logger = _logger(trt, log)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    started = time.perf_counter()
    _import_model(trt, network, logger, job["model"])
    log.importing = False
    parsed = time.perf_counter()
    config = builder.create_builder_config()
    try:
        _annotate(network, job)
        _configure(trt, config, job)
        _add_profiles(builder, config, job["profiles"])
        plan = builder.build_serialized_network(network, config)
    finally:
        _name_layers(network, log)
    if plan is None or any(each["severity"] in ("ERROR", "INTERNAL_ERROR") for each in log.entries):
        raise Failed("build")
    built = time.perf_counter()
    size, digest = _write(plan, Path(job["engine"]))
    return {
        "version": trt.__version__,
        "bytes": size,
        "sha256": digest,
        "compute": _capabilities(trt, config),
        "flags": sorted(name for name, flag in trt.BuilderFlag.__members__.items() if config.get_flag(flag)),
        "workspace": config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        "inputs": [_tensor(network.get_input(index)) for index in range(network.num_inputs)],
        "outputs": [_tensor(network.get_output(index)) for index in range(network.num_outputs)],
        "layers": network.num_layers,
        "seconds": {"import": parsed - started, "build": built - parsed},
    }


def _logger(trt: Any, log: Log) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            log.add(severity.name, text)

    return Logger()


def _import_model(trt: Any, network: Any, logger: Any, model: str) -> None:
    parser = trt.OnnxParser(network, logger)
    imported = parser.parse_from_file(model)
    errors = [_import_error(parser.get_error(index)) for index in range(parser.num_errors)]
    if errors or not imported:
        raise Failed("import_model", errors=errors)
    if network.num_layers == 0:
        # Bytes that are no ONNX model at all parse "successfully" into an empty network.
        raise Failed("no_layers")
    shapes = [network.get_input(index) for index in range(network.num_inputs)]
    if named := [each.name for each in shapes if each.is_shape_tensor]:
        raise Failed("shape_input", inputs=named)


def _import_error(error: Any) -> dict[str, Any]:
    # An error about an input of the model has the input's name where other errors have their source file.
    about_input = error.func() == "importInput"
    return {
        "node": error.node_name(),
        "of_node": error.node() >= 0,
        "input": error.file() if about_input else "",
        "text": error.desc(),
        "inside": list(error.local_function_stack()),
    }


def _annotate(network: Any, job: dict[str, Any]) -> None:
    """Let the engine say which model it is and which recipe line each layer comes from."""
    network.name = job["name"]
    origins = job["origins"]
    if not origins:
        return
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        found = _LAYER.match(layer.metadata)
        if found and (origin := origins.get(found[1])):
            text = f"{layer.metadata}{origin}".encode()[:METADATA_LIMIT]
            layer.metadata = text.decode(errors="ignore")


def _configure(trt: Any, config: Any, job: dict[str, Any]) -> None:
    if job["compute"]:
        if unknown := [each for each in job["compute"] if not hasattr(trt.ComputeCapability, each)]:
            known = [each for each in trt.ComputeCapability.__members__ if each.startswith("SM")]
            raise Failed("capability", version=trt.__version__, unknown=unknown, known=known)
        config.num_compute_capabilities = len(job["compute"])
        for index, name in enumerate(job["compute"]):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), index)
    if job["tf32"]:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if job["workspace"] is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job["workspace"])


def _add_profiles(builder: Any, config: Any, profiles: list[dict[str, list[list[int]]]]) -> None:
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (low, middle, high) in shapes.items():
            profile.set_shape(name, low, middle, high)
        config.add_optimization_profile(profile)


def _capabilities(trt: Any, config: Any) -> list[str]:
    if not hasattr(config, "num_compute_capabilities"):
        return []
    return [config.get_compute_capability(index).name for index in range(config.num_compute_capabilities)]


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "type": tensor.dtype.name.lower(), "shape": list(tensor.shape)}


def _name_layers(network: Any, log: Log) -> None:
    """Find the layers that messages of the build name, and from them the ONNX nodes they were made from."""
    wanted = [each for each in log.entries if not each["about"] and each["severity"] != "INFO"]
    if not wanted:
        return
    origin = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        found = _LAYER.match(layer.metadata)
        origin[layer.name] = found[1] if found else ""
    for entry in wanted:
        entry["about"] = next((origin[name] for name in _named(entry["text"], origin) if origin[name]), "")


def _named(text: str, layers: dict[str, str]) -> Iterator[str]:
    """The layers a message names, longest name first. A plain word counts only where it is marked as a name."""
    for name in sorted((each for each in layers if each and each in text), key=len, reverse=True):
        quoted = re.escape(name)
        plain = name.isalpha() and name.islower()
        marked = rf"(?:['\"`\[{{]|Layer |layer |node ){quoted}(?:['\"`\]}}:]|\.\.\.| )|(?:^|[(\s]){quoted}:"
        apart = rf"(?<![\w.]){quoted}(?![\w])"
        if re.search(marked if plain else apart, text):
            yield name


def _write(plan: Any, path: Path) -> tuple[int, str]:
    """Write the engine a chunk at a time and hash it on the way: it may be larger than 2 GiB."""
    data = memoryview(plan).cast("B")
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for start in range(0, len(data), _CHUNK):
                chunk = data[start : start + _CHUNK]
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise Failed("write", errno=error.errno, path=str(path)) from None
    return len(data), digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
