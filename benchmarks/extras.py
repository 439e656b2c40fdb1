"""Try each extra for other frameworks and runtimes in a fresh environment: install it, and compile a small net with it.

    python benchmarks/extras.py                     # all of them; takes half an hour and 10 GB
    python benchmarks/extras.py openvino torchserve

`core` is vggc alone: none of the optional packages may come with it. An extra whose packages need other versions than
vggc gets an environment with these packages alone, and the vggc that runs this script uses it, as a user would.
Environments are made in --folder and removed after their trial. The exit status is 1 when a trial fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vggc.diagnostics.packages import ONNX2TF, OPENVINO, OPTIONAL, PADDLE, TENSORFLOW, TORCH, TORCHSERVE, TVM, Optional
from vggc.runtimes.packages import variable

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "examples" / "digits" / "digits_vgg.onnx"


@dataclass(frozen=True)
class Trial:
    """What is tried with an extra: a target of a recipe, or a framework of roads_models.py whose model is converted."""

    packages: Optional | None
    target: str = "onnx"
    framework: str = ""


TRIALS = {
    "core": Trial(None),
    "openvino": Trial(OPENVINO, "openvino"),
    "torchserve": Trial(TORCHSERVE, "torchserve"),
    "tvm": Trial(TVM, "tvm"),
    "onnx2tf": Trial(ONNX2TF, "litert"),
    "tensorflow": Trial(TENSORFLOW, framework="keras"),
    "paddle": Trial(PADDLE, framework="paddle"),
    "torch": Trial(TORCH, framework="torch"),
}


class Failed(Exception):
    """A command of a trial failed. The text has its last lines."""


def main() -> int:
    """Try the extras, and print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help=f"one or several of {', '.join(TRIALS)}")
    parser.add_argument("--folder", type=Path, default=Path("build/extras"))
    chosen = parser.parse_args()
    if unknown := [each for each in chosen.extras if each not in TRIALS]:
        parser.error(f"no extra `{unknown[0]}`; there are {', '.join(TRIALS)}")
    failed = 0
    for name in chosen.extras or TRIALS:
        folder = (chosen.folder / name).resolve()
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        try:
            outcome = tried(TRIALS[name], folder)
        except Failed as error:
            outcome = f"FAILED: {error}"
            failed += 1
        print(f"{name:<12}{time.monotonic() - started:6.0f} s  {outcome}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(failed))


def tried(trial: Trial, folder: Path) -> str:
    """Make the environment, and use it. Returns what to tell."""
    python = environment(folder / "env")
    packages = trial.packages
    if packages is not None and packages.separate:
        run([python, "-m", "pip", "install", "--quiet", *packages.packages])
        vggc, variables = [sys.executable, "-m", "vggc"], {variable(packages): python}
    else:
        wanted = f"{ROOT}[{packages.extra}]" if packages else str(ROOT)
        run([python, "-m", "pip", "install", "--quiet", wanted])
        vggc, variables = [python, "-m", "vggc"], {}
    megabytes = sum(each.stat().st_size for each in (folder / "env").rglob("*") if each.is_file()) / 1e6
    size = f"{megabytes:.0f} MB installed"
    if packages is None:
        return f"{size}, {alone(python, vggc, folder)}"
    if trial.framework:
        command = [
            python,
            str(ROOT / "benchmarks" / "roads_models.py"),
            trial.framework,
            "mobilenet",
            "32",
            str(folder),
        ]
        source = run(command).strip().splitlines()[-1]
        shown = run([*vggc, "convert", source, "-o", str(folder / "model.onnx")], variables)
        return f"{size}, {next(line for line in shown.splitlines() if line.startswith('compared'))}"
    compiled(vggc, folder, trial.target, variables)
    return f"{size}, target {trial.target} works"


def alone(python: str, vggc: Sequence[str], folder: Path) -> str:
    """Compile with vggc alone. Raises Failed when an optional package came with it."""
    modules = sorted({name for each in OPTIONAL for name in each.modules} - {"setuptools", "packaging", "onnx"})
    look = f"import importlib.util as u; print(*[each for each in {modules} if u.find_spec(each)])"
    if brought := run([python, "-c", look]).split():
        raise Failed(f"vggc alone brings {', '.join(brought)}")
    compiled(vggc, folder, "onnx", {})
    return f"none of {len(modules)} optional packages among them"


def compiled(vggc: Sequence[str], folder: Path, target: str, variables: dict[str, str]) -> None:
    """Compile the digits model to a target, which runs what it writes and compares it."""
    recipe = folder / "extra.opt"
    recipe.write_text(f"simplify\nfold_batch_norm\ntarget {target}\n", encoding="utf-8")
    run([*vggc, str(recipe), str(MODEL), "-o", str(folder / "out"), "--verify", "off"], variables)


def environment(folder: Path) -> str:
    """A new environment. Returns its Python."""
    run([sys.executable, "-m", "venv", str(folder)])
    scripts = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder), "platbase": str(folder)}))
    return str(scripts / ("python.exe" if os.name == "nt" else "python"))


def run(command: Sequence[str], variables: dict[str, str] | None = None) -> str:
    """The standard output of a command. Variables that name Pythons of other trials do not reach it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("VGGC_PYTHON_")}
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**inherited, "VGGC_CACHE": "off", **(variables or {})},
    )
    if ended.returncode:
        lines = (ended.stderr.strip() or ended.stdout.strip() or "?").splitlines()
        wrong = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise Failed(f"{' '.join(command[:4])} ...: {wrong}")
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
