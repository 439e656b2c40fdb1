"""Call a function of a program beside this file: `python -P child.py JOB.json`.

The job's keys are `function` ("openvino_model:convert"), `arguments` (JSON values), `answer`, the file to write the
result to, and `folder`, where the program is. The answer is a file, because converters print to standard output. An
exception whose class has the name Refused is an answer to the user: it has `message` and `help`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def main(arguments: list[str]) -> None:
    """Call the function of the job and write its result, or the error that it raised."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    Path(job["answer"]).write_text(json.dumps(_answer(job)), encoding="utf-8")


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    name, _, function = job["function"].partition(":")
    try:
        return {"done": getattr(program(Path(job["folder"]), name), function)(**job["arguments"])}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the parent reports whatever a converter raises
        return {"raised": type(error).__name__, "text": str(error), "help": getattr(error, "help", "")}


def program(folder: Path, name: str) -> ModuleType:
    """A program as a module. It is loaded by its path: a folder in sys.path would hide packages of the same names."""
    spec = importlib.util.spec_from_file_location(f"vggc_{name}", folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1:])
