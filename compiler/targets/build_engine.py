"""Build one TensorRT engine in a child process: `python -P -m vggc.targets.build_engine JOB.json`.

The job's keys are the fields of `engine_process.Job`. `engine_child` explains why this needs a child process.
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
"""The largest size in bytes of a layer's metadata. TensorRT logs an ERROR for a longer text."""

_LAYER = re.compile(r"\[ONNX Layer: ([^|\]]*)")
_CHUNK = 64 << 20


def main(arguments: list[str]) -> None:
    """Build as the job file says and print the result."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    answer(lambda log: build(job, log), Path(job["log"]) if job["log"] else None)


def build(job: dict[str, Any], log: Log) -> dict[str, Any]:
    """Build the engine and write it. Returns the facts for `engine_process.Engine`. Raises Failed."""
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
    """Write into the network the name of the model, and into each layer the recipe line it comes from."""
    network.name = job["name"]
    origins = job["origins"]
    if not origins:
        return
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        match = _LAYER.match(layer.metadata)
        if match and (origin := origins.get(match[1])):
            text = f"{layer.metadata}{origin}".encode()[:METADATA_LIMIT]
            layer.metadata = text.decode(errors="ignore")


def _name_layers(network: Any, log: Log) -> None:
    """Complete log entries that name layers with the ONNX node that the layer was made from."""
    unnamed = [each for each in log.entries if not each["about"] and each["severity"] != "INFO"]
    if not unnamed:
        return
    nodes = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        match = _LAYER.match(layer.metadata)
        nodes[layer.name] = match[1] if match else ""
    for entry in unnamed:
        entry["about"] = next((nodes[name] for name in _layers_in(entry["text"], nodes) if nodes[name]), "")


def _layers_in(text: str, layers: dict[str, str]) -> Iterator[str]:
    """The layers that a message names, longest name first. A plain word counts only when it is marked as a name."""
    for name in sorted((each for each in layers if each and each in text), key=len, reverse=True):
        quoted = re.escape(name)
        plain = name.isalpha() and name.islower()
        marked = rf"(?:['\"`\[{{]|Layer |layer |node ){quoted}(?:['\"`\]}}:]|\.\.\.| )|(?:^|[(\s]){quoted}:"
        separate = rf"(?<![\w.]){quoted}(?![\w])"
        if re.search(marked if plain else separate, text):
            yield name


def _write(content: Any, path: Path) -> tuple[int, str]:
    """Write and hash TensorRT's result chunk by chunk, because it may be larger than 2 GiB."""
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
