"""The child process: `python -P -m vggc.runtimes.child JOB.json`.

The job's keys are `function` ("vggc.runtimes.openvino:convert"), `arguments` (JSON values) and `answer`, the file to
write the result to. The answer is a file, because converters print to standard output.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vggc.diagnostics import CompileError


def main(arguments: list[str]) -> None:
    """Call the function of the job and write its result, or the error that it raised."""
    job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    Path(job["answer"]).write_text(json.dumps(_answer(job)), encoding="utf-8")


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    module, _, name = job["function"].partition(":")
    try:
        return {"done": getattr(importlib.import_module(module), name)(**job["arguments"])}
    except CompileError as error:
        found = [asdict(each) | {"code": each.code.name} for each in error.diagnostics]
        return {"failed": [{key: each[key] for key in ("message", "facts", "help", "code")} for each in found]}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the parent reports whatever a converter raises
        return {"raised": type(error).__name__, "text": str(error)}


if __name__ == "__main__":
    main(sys.argv[1:])
