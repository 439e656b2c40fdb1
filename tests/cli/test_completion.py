"""`vggc completion`: the scripts, and what vggc answers to a shell that has read one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vggc.cli.main import run

Answers = Callable[..., list[str]]


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answers:
    """What is proposed to bash for the last of the words."""
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("_VGGC_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["vggc", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit):
            run([])
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out.splitlines()

    return ask


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(vggc: Any, shell: str) -> None:
    ran = vggc("completion", shell)
    assert ran.status == 0 and f"_VGGC_COMPLETE={shell}_complete" in ran.out


@pytest.mark.parametrize(
    ("words", "proposal"),
    [
        (("pas",), "plain,passes"),
        (("vggc:prune_i",), "plain,vggc:prune_int8_cpu.opt"),
        (("net",), "plain,net.opt"),
        (("models/n",), "file,models/n"),
        (("passes", "fold"), "plain,fold_batch_norm"),
        (("targets", "onn"), "plain,onnx"),
        (("recipes", "vggc:pru"), "plain,vggc:prune.opt"),
        (("explain-error", "VGGC12"), "plain,VGGC121"),
        (("lint", "--tar"), "plain,--target"),
        (("my.opt", "model.onnx", "--ver"), "plain,--verify"),
        (("my.opt", "model.onnx", "--print-after", "fold"), "plain,fold_batch_norm"),
    ],
)
def test_what_is_proposed(answers: Answers, words: tuple[str, ...], proposal: str) -> None:
    Path("net.opt").touch()
    assert proposal in answers(*words)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_takes_the_script(tmp_path: Path) -> None:
    program = tmp_path / "vggc"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vggc "$@"\n')
    program.chmod(0o755)
    lines = (
        f'export PATH="{tmp_path}:$PATH"',
        'eval "$(vggc completion bash)"',
        "COMP_WORDS=(vggc expl) COMP_CWORD=1",
        "_vggc_completion vggc",
        'printf "%s\\n" "${COMPREPLY[@]}"',
    )
    ran = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert {"explain", "explain-error"} <= set(ran.stdout.split()), ran.stderr
