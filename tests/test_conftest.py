"""The test set-up itself: fixtures are never blessed in CI, and a skipped `gpu` test says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

TWO_TESTS = """\
import pytest

def test_bless(bless):
    assert not bless

@pytest.mark.gpu
def test_gpu():
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of two tests under this project's conftest.py."""
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs an NVIDIA GPU\n", encoding="utf-8")
    (tmp_path / "test_two.py").write_text(TWO_TESTS, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    without_ci = {name: value for name, value in os.environ.items() if name not in {"CI", "PYTEST_ADDOPTS"}}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *arguments],
        cwd=folder,
        env=without_ci | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_bless_is_refused_in_ci(project: Path) -> None:
    result = run(project, "--bless", CI="true")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--bless is refused where CI is set" in result.stderr


def test_bless_reaches_the_tests_elsewhere(project: Path) -> None:
    blessed = run(project, "--bless", "-k", "bless")
    assert blessed.returncode == pytest.ExitCode.TESTS_FAILED
    assert "assert not True" in blessed.stdout


def test_without_bless_all_pass_and_a_gpu_test_runs_or_says_why_not(project: Path) -> None:
    result = run(project)
    assert result.returncode == pytest.ExitCode.OK, result.stdout
    assert "2 passed" in result.stdout or "needs an NVIDIA GPU: " in result.stdout
