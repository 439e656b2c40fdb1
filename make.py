"""What is done with a checkout, by name: `make test` where there is GNU make, `python make.py test` anywhere.

    python make.py VERB... [NAME=VALUE...]

A setting is given as NAME=VALUE, or as an environment variable, which is how `make test NAME=VALUE` hands it over:

    TESTS="tests/grammar -k spans"  what pytest is asked to run
    LATEST=1  the newest versions of everything instead of the locked ones, in build/latest
    OLDEST=1  the oldest versions that pyproject.toml allows, in build/oldest
    MINUTES=10  how long to fuzz
    SUITES="--sample 60"  which models of ONNX's own tests are compiled
    EXTRAS="openvino tvm"  which extras are tried
    SHARED, BENCH, RULES, PRUNING  what `bench` runs, see there
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
BUILD = ROOT / "build"
LINKS = BUILD / "links"
DEMO = ("examples/digits/prune.opt", "examples/digits/digits_vgg.onnx", "-o", "build/demo")
PEERS = ("onnxsim", "onnxslim", "onnxscript", "onnxruntime")
MADE = (
    ".venv",
    "build",
    "vggc.egg-info",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    ".import_linter_cache",
)


class Environment:
    """A virtual environment that the verbs run programs of. It is made by the first verb that needs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder), "platbase": str(folder)}))
        self.python = self.bin / ("python.exe" if os.name == "nt" else "python")

    def install(self, *needs: Path, commands: Callable[[], None]) -> None:
        """Make the environment, unless it is newer than the files that say what it holds."""
        marker = self.folder / "installed"
        if marker.exists() and all(marker.stat().st_mtime >= need.stat().st_mtime for need in needs):
            return
        if not self.python.exists():
            run(sys.executable, "-m", "venv", self.folder)
        commands()
        marker.touch()

    def pip(self, *arguments: str | Path) -> None:
        run(self.python, "-m", "pip", *arguments)

    def run(self, tool: str, *arguments: str | Path, **variables: str) -> None:
        """Run a program that the environment's packages brought."""
        run(self.bin / tool, *arguments, **variables)


def run(*command: str | Path, **variables: str) -> None:
    """Run a command in the repository and end with its status if it fails."""
    words = [str(word) for word in command]
    print(shlex.join(os.path.relpath(word, ROOT) if word.startswith(str(ROOT)) else word for word in words), flush=True)
    # Nothing of what the verbs run is taken from, or left in, the user's cache folder.
    status = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "VGGC_CACHE": "off", **variables}, check=False
    ).returncode
    if status:
        sys.exit(status)


def setting(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def words(name: str) -> list[str]:
    return shlex.split(setting(name))


def development() -> Environment:
    """vggc, editable, with all that its tests and checks need, in the versions that LATEST and OLDEST ask for."""
    if setting("LATEST") and setting("OLDEST"):
        sys.exit("LATEST and OLDEST exclude each other")
    if setting("LATEST"):
        latest = Environment(BUILD / "latest")
        latest.install(commands=lambda: _install(latest, "--upgrade", "--upgrade-strategy", "eager"))
        return latest
    if setting("OLDEST"):
        oldest, versions = Environment(BUILD / "oldest"), BUILD / "oldest.txt"

        def resolve_and_install() -> None:
            oldest.pip("install", "--quiet", "uv")
            oldest.run("uv", *_compile(versions), "--resolution", "lowest-direct", "--python", oldest.python)
            _install(oldest, "--constraint", versions)

        oldest.install(PROJECT, commands=resolve_and_install)
        return oldest
    locked = Environment(ROOT / ".venv")
    locked.install(PROJECT, CONSTRAINTS, commands=lambda: _install(locked, "--constraint", CONSTRAINTS))
    return locked


def _install(environment: Environment, *options: str | Path) -> None:
    # setuptools comes first, and builds without an environment of its own, so that its version is held to as well.
    environment.pip("install", "--quiet", *options, "setuptools")
    environment.pip("install", "--quiet", *options, "--no-build-isolation", "--editable", ".[dev]")
    try:
        link(LINKS)
    except OSError as error:
        # Windows asks for a right that not every user has.
        print(f"editors will not find vggc: {error}", file=sys.stderr)


def link(folder: Path) -> None:
    """Show the package as it is installed, for editors, which do not follow the editable install's mapping."""
    _remove(folder)
    (folder / "vggc").mkdir(parents=True)
    for source in (*(ROOT / "compiler").iterdir(), ROOT / "passes", ROOT / "grammar", ROOT / "recipes"):
        (folder / "vggc" / source.name).symlink_to(source, target_is_directory=source.is_dir())


def _compile(output: Path) -> list[str | Path]:
    return ["pip", "compile", "--quiet", "--no-config", "--extra", "dev", "--output-file", output, PROJECT]


def install() -> None:
    """Set the environment up that the other verbs use; they do so by themselves."""
    development()


def demo() -> None:
    """Compile the example model to an engine and show the report."""
    development().run("vggc", *DEMO)


def test() -> None:
    """Run the tests, or those that TESTS names."""
    # pytest by its own command: `python -m pytest` would put this folder, and with it a second `passes`, on the path.
    development().run("pytest", *words("TESTS"))


def check() -> None:
    """Check layout, types and layering."""
    here, copy = development(), BUILD / "check"
    here.run("ruff", "check", ".")
    here.run("ruff", "format", "--check", ".")
    # mypy and import-linter do not follow the editable install's mapping of folders to packages (compiler/ is vggc,
    # passes/ is vggc.passes), so they get a plain install of the package alone; all else comes from the environment.
    # build/lib goes first: setuptools would pack modules from it that are long deleted.
    _remove(copy, BUILD / "lib", *BUILD.glob("bdist.*"))
    here.pip("install", "--quiet", "--no-deps", "--no-build-isolation", "--target", copy, ".")
    here.run("mypy", MYPYPATH=str(copy))
    here.run("lint-imports", PYTHONPATH=str(copy))


def format() -> None:
    """Lay the code out as `check` wants it."""
    here = development()
    here.run("ruff", "check", "--fix-only", ".")
    here.run("ruff", "format", ".")


def prove() -> None:
    """Prove every rule of the library on graphs made for it; takes minutes."""
    here = development()
    for rules in sorted((ROOT / "recipes" / "rules").glob("*.opt")):
        if rules.name != "all.opt":
            here.run("vggc", "check", "--rules", rules)


def bench() -> None:
    """Compare vggc with its peers.

    SHARED is a folder of nets and their data, which no clone has; without it what needs them is skipped, and says so.
    Torch-Pruning joins in once it is among the peers: build/peers/bin/python -m pip install torch torch-pruning
    Less of it: BENCH="--models chain5000 --peers onnxsim" RULES=benchmarks/exports/dynamo20_vit.onnx
    """
    here, peers = development(), Environment(BUILD / "peers")
    peers.install(Path(__file__), commands=lambda: peers.pip("install", "--quiet", *PEERS))
    with_peers = ("--peers-python", peers.python)
    run(here.python, "benchmarks/simplify_fold.py", *with_peers, *words("BENCH"))
    run(here.python, "benchmarks/rules.py", *with_peers, *words("RULES"))
    run(here.python, "benchmarks/rewrite.py")
    run(here.python, "benchmarks/pruning.py", *words("SHARED"), *with_peers, *words("PRUNING"))


def bench_real() -> None:
    """Measure pruning, quantization and compile time on nets of real size; takes most of an hour.

    SHARED is a folder with models/efficientnet_lite0.onnx and photographs in data/photos; what needs it is skipped
    without it. ZOO is a folder of other people's models. Less of it: REAL="--models efficientnet_lite0 --count 128"
    """
    here, peers = development(), Environment(BUILD / "peers")
    peers.install(Path(__file__), commands=lambda: peers.pip("install", "--quiet", *PEERS))
    with_peers = ("--peers-python", peers.python)
    if words("SHARED"):
        run(here.python, "benchmarks/real_quantization.py", *words("SHARED"), *with_peers, *words("REAL"))
    run(here.python, "benchmarks/real_pruning.py", *words("SHARED"), *words("REAL"))
    compared = ("--models", "--peers", "onnxsim", "onnxruntime")
    run(
        here.python,
        "benchmarks/simplify_fold.py",
        *with_peers,
        *compared,
        "--folder",
        *(words("ZOO") or ("build/zoo",)),
    )


def serve_demo() -> None:
    """Serve the example model with each server that is installed, and compare the answers with onnxruntime's."""
    run(development().python, "examples/serving/demo.py")


def extras() -> None:
    """Try each extra for other frameworks and runtimes in a fresh environment; takes half an hour and 10 GB.

    Less of it: EXTRAS="openvino torchserve"
    """
    run(development().python, "benchmarks/extras.py", *words("EXTRAS"))


def docs() -> None:
    """Build the documentation as a site, build/site/index.html.

    A link to a page or a heading that does not exist is an error.
    """
    development().run("properdocs", "build", "--strict")


def map() -> None:
    """Draw the picture of the rooms in ARCHITECTURE.md, and write its table, from the import contract."""
    run(development().python, "docs/rooms.py")


def fuzz() -> None:
    """Damage recipes, models and sidecars, and look for one that does not end in a message.

    It takes MINUTES. What it finds is kept in build/fuzz.
    """
    run(development().python, "tests/fuzz/fuzz.py", "--minutes", setting("MINUTES", "10"))


def suites() -> None:
    """Compile ONNX's own backend tests, and hold each result against onnxruntime's; takes most of an hour.

    Less of it: SUITES="--sample 60", SUITES="--only node/test_conv_*"
    """
    run(development().python, "benchmarks/suites.py", *words("SUITES"))


def dist() -> None:
    """Build the source distribution and the wheel, in build/dist."""
    here, out = development(), BUILD / "dist"
    _remove(out, BUILD / "lib")
    out.mkdir(parents=True)
    for kind in ("sdist", "wheel"):
        run(here.python, "-c", f"from setuptools.build_meta import build_{kind} as build; build({str(out)!r})")


def lock() -> None:
    """Write the newest versions that fit together to requirements/constraints.txt, for every system and Python."""
    uv = Environment(BUILD / "lock")
    uv.install(Path(__file__), commands=lambda: uv.pip("install", "--quiet", "uv"))
    header = "python make.py lock"
    uv.run(
        "uv",
        *_compile(CONSTRAINTS),
        "--universal",
        "--python-version",
        "3.11",
        "--upgrade",
        UV_CUSTOM_COMPILE_COMMAND=header,
    )


def clean() -> None:
    """Remove what the other verbs made."""
    _remove(*(ROOT / name for name in MADE))
    for name in ("compiler", "passes", "grammar", "recipes", "tests", "examples", "benchmarks"):
        _remove(*(ROOT / name).glob("**/__pycache__"))


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=not folder.exists())


VERBS = {
    verb.__name__.replace("_", "-"): verb
    for verb in (
        *(
            install,
            demo,
            test,
            check,
            format,
            prove,
            bench,
            bench_real,
            serve_demo,
            extras,
            docs,
            map,
            fuzz,
            suites,
            dist,
            lock,
            clean,
        ),
    )
}


def main(arguments: list[str]) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 -- this file is run by whatever Python there is
        sys.exit("vggc needs Python 3.11 or newer: make PYTHON=/path/to/python3.11, or /path/to/python3.11 make.py")
    os.environ.update({name: value for name, given, value in (each.partition("=") for each in arguments) if given})
    verbs = [each for each in arguments if "=" not in each]
    if unknown := [verb for verb in verbs if verb not in VERBS]:
        sys.exit(f"make.py: no verb `{unknown[0]}`; there are {', '.join(VERBS)}")
    if not verbs:
        print("\n".join(f"make {name:<10} {(verb.__doc__ or '').splitlines()[0]}" for name, verb in VERBS.items()))
    for verb in verbs:
        VERBS[verb]()


if __name__ == "__main__":
    main(sys.argv[1:])
