"""What the fuzzer found once stays found: every file of the corpus ends in a message, or compiles.

`corpus/models/*.onnx` are compiled and inspected, `corpus/recipes/*.opt` checked, from `corpus/sidecars/*.json` engines
are built again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CORPUS = Path(__file__).parent / "corpus"
RECIPE = "simplify\nfold_batch_norm\ntarget onnx\ntarget onnxruntime\ntarget triton\n"

# All files of the corpus in one process, so that it is quick; each command says how it ended.
PROGRAM = """
import sys
from vggc.cli.main import run
for line in sys.stdin.read().splitlines():
    print("#", run(line.split("|")), line, flush=True)
"""


def ended(folder: Path, commands: list[list[str]]) -> dict[str, int]:
    """The exit status of each command."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        input="\n".join("|".join(words) for words in commands),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert "Traceback" not in ran.stderr
    lines = [line.split(" ", 2) for line in ran.stdout.splitlines() if line.startswith("# ")]
    return {words: int(status) for _, status, words in lines}


def listed(kind: str) -> list[Path]:
    return sorted(each for each in (CORPUS / kind).iterdir() if not each.name.startswith("."))


@pytest.mark.parametrize("kind", ["models", "recipes", "sidecars"])
def test_what_was_found_ends_in_a_message(kind: str, tmp_path: Path) -> None:
    (tmp_path / "net.opt").write_text(RECIPE)
    commands = {
        "models": lambda file: [["net.opt", file, "-o", "out"], ["inspect", file]],
        "recipes": lambda file: [["check", file]],
        "sidecars": lambda file: [["rebuild", file]],
    }[kind]
    wanted = [words for file in listed(kind) for words in commands(str(file))]
    assert wanted
    found = ended(tmp_path, wanted)
    assert len(found) == len(wanted)
    assert set(found.values()) <= {0, 1}
