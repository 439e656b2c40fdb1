"""Build one TensorRT engine in a process of its own: `python -P -m vggc.targets.build_engine JOB.json`.

The job's keys are `engine_process.Job`'s fields; `engine_child` says why it is a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vggc.targets.engine_child import (
    Failed,
    Log,
    answer,
    errors_in,
    import_model,
    load_package,
    new_network,
    tensor_facts,
)
from vggc.targets.engine_config import capabilities, configure, flags

METADATA_LIMIT = 4095
"""Bytes of a layer's metadata; TensorRT refuses a longer text with an ERROR."""

_LAYER = re.compile(r"\[ONNX Layer: ([^|\]]*)")
_CHUNK = 64 << 20


def main(arguments: list[str]) -> None:
    """Build as the job file says and print the result."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    answer(lambda log: build(job, log), Path(job["log"]) if job["log"] else None)


def build(job: dict[str, Any], log: Log) -> dict[str, Any]:
    """Build the engine, write it, and say what it is. Raises Failed."""
    trt, logger = load_package(job["package"], log)
    builder = trt.Builder(logger)
    network = new_network(trt, builder)
    started = time.perf_counter()
    if errors := import_model(trt, network, logger, job["model"]):
        raise Failed("import_model", errors=errors)
    log.importing = False
    parsed = time.perf_counter()
    try:
        _annotate(network, job)
        config = configure(trt, builder, job)
        plan = builder.build_serialized_network(network, config)
    finally:
        _name_layers(network, log)
    if plan is None or errors_in(log.entries):
        raise Failed("build")
    built = time.perf_counter()
    size, digest = _write(plan, Path(job["engine"]))
    if job["timings"]:
        _write(config.get_timing_cache().serialize(), Path(job["timings"]))
    return {
        "version": trt.__version__,
        "bytes": size,
        "sha256": digest,
        "compute": capabilities(config),
        "flags": flags(trt, config),
        "workspace": config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        "inputs": [tensor_facts(network.get_input(index)) for index in range(network.num_inputs)],
        "outputs": [tensor_facts(network.get_output(index)) for index in range(network.num_outputs)],
        "layers": network.num_layers,
        "seconds": {"import": parsed - started, "build": built - parsed},
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


def _write(content: Any, path: Path) -> tuple[int, str]:
    """Write what TensorRT made a chunk at a time and hash it on the way: it may be larger than 2 GiB."""
    data = memoryview(content).cast("B")
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
    main(sys.argv[1:])
