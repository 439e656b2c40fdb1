"""What the child processes that run TensorRT have in common: its log, its errors, the answer to the parent.

TensorRT reports errors only through its logger, may end the whole process (it is C++ that works on the model's data),
and cannot be interrupted. So the compiler never loads it: `supervised_process` starts a module that uses this one,
gives it a job file and reads the line of JSON that it prints.

Standard input shows whether the parent is alive: when the parent ends, for any reason, reading gives end of file, and
the child ends too.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

_PARSED = re.compile(r"(?:Static check for p|P)arsing node: (.*) \[\S+\]$")
_WEIGHT = re.compile(r"Importing initializer: (.*)$")


class Failed(Exception):
    """The job cannot be done. `engine_messages.failed` makes the user's message from `kind` and `detail`."""

    def __init__(self, kind: str, **detail: Any) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail


class Log:
    """TensorRT's messages from INFO upwards, each with the node or weight that was being imported at that moment.

    With `keep`, each line is also written to a file at once, so that it survives a crash.
    """

    def __init__(self, keep: Path | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self._about = ""
        self.importing = True
        self._file: IO[str] | None = keep.open("w", encoding="utf-8") if keep else None

    def add(self, severity: str, text: str) -> None:
        if severity == "VERBOSE":
            if self.importing and (match := _PARSED.match(text) or _WEIGHT.match(text)):
                self._about = match[1]
            return
        if self._file is not None:
            self._file.write(f"{severity}: {text}\n")
            self._file.flush()
        about = self._about if self.importing else ""
        self.entries.append({"severity": severity, "text": text, "about": about})


def errors_in(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries of a log that TensorRT calls errors."""
    return [each for each in entries if each["severity"] in ("ERROR", "INTERNAL_ERROR")]


def answer(work: Callable[[Log], dict[str, Any]], keep: Path | None = None) -> None:
    """Do the work, print its result, and end the process, with status 0 also when the work raises Failed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # TensorRT prints to both standard streams, but standard output must contain only the result.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    log = Log(keep)
    try:
        result: dict[str, Any] = {"done": work(log)}
    except Failed as error:
        result = {"failed": error.kind, **error.detail}
    except MemoryError:
        result = {"failed": "memory"}
    except Exception as error:  # noqa: BLE001 - this is the process boundary: the parent reports it to the user
        result = {"failed": "exception", "text": f"{type(error).__name__}: {error}"}
    results.write(json.dumps({**result, "log": log.entries}))
    results.close()
    # Destructors of an incomplete network are a needless risk once the result is written.
    os._exit(0)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def load_package(name: str, log: Log) -> tuple[Any, Any]:
    """The flavour's package and a logger that writes to `log`. Raises Failed when it does not load."""
    try:
        trt = importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise Failed("import", text=str(error)) from None

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            log.add(severity.name, text)

    return trt, Logger()


def new_network(trt: Any, builder: Any) -> Any:
    """An empty network whose types are the model's own."""
    return builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))


def import_model(trt: Any, network: Any, logger: Any, path: str, content: bytes | None = None) -> list[dict[str, Any]]:
    """Fill a network from an ONNX file, or from `content` whose weights are beside that file. Returns the errors.

    Raises Failed when the import fails without an error, ends without a layer (as it does for bytes that are not an
    ONNX model), or has an input whose values are a shape.
    """
    parser = trt.OnnxParser(network, logger)
    imported = parser.parse_from_file(path) if content is None else parser.parse(content, path)
    errors = [_error(parser.get_error(index)) for index in range(parser.num_errors)]
    if errors:
        return errors
    if not imported:
        raise Failed("import_model")
    if network.num_layers == 0:
        raise Failed("no_layers")
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    if named := [tensor.name for tensor in inputs if tensor.is_shape_tensor]:
        raise Failed("shape_input", inputs=named)
    return []


def _error(import_error: Any) -> dict[str, Any]:
    # An error about an input of the model has the input's name in the field where other errors have a source file.
    about_input = import_error.func() == "importInput"
    return {
        "node": import_error.node_name(),
        "index": import_error.node(),
        "input": import_error.file() if about_input else "",
        "text": import_error.desc(),
        "inside": list(import_error.local_function_stack()),
    }


def tensor_facts(tensor: Any) -> dict[str, Any]:
    """Name, type (as TensorRT calls it) and shape (-1 where it varies) of a network's input or output."""
    return {"name": tensor.name, "type": tensor.dtype.name.lower(), "shape": list(tensor.shape)}
