"""Damage recipes, models and sidecars, and compile random nets: python tests/fuzz/fuzz.py --minutes 10

Damaged files must end in a message. Of the kinds `exact` and `lossy`, random nets are compiled by random recipes: exact
steps keep what onnxruntime computes of the model that was read, lossy ones leave a model that loads and has no NaN.

Every case runs in a process and an empty folder of its own. It is a finding when the exit status is none that is
documented or means a bug in vggc, when it takes too long or too much memory, when text of a traceback is printed, or
when a file appears outside the output folder. Findings are kept, with what was said, in the folder `--keep`;
`test_corpus.py` runs those that were put into `corpus/` ever after.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))
from cases import Case, cases

import vggc.cli.diagnosis_page
import vggc.cli.model_pages
import vggc.pipeline.compile
import vggc.targets.rebuild  # noqa: F401 - loaded once, for all cases
from vggc.binding.registry import shipped
from vggc.cli.main import run

DOCUMENTED = frozenset({0, 1, 2, 3})
WRONG = 99
"""The status of a case whose command went through and whose result is wrong."""

SECONDS = 60
"""CPU seconds that a case may take: a busy machine does not change them."""

WAIT = 600
"""Seconds by the clock after which a case counts as one that never ends."""

MEMORY = 2 << 30
"""Bytes of memory that a case may have taken at its peak, the libraries included."""

ADDRESSES = 16 << 30
"""Bytes of addresses, which onnxruntime and TensorRT reserve far more of than they use."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended; `problem` is empty when it ended as it should."""

    status: int
    seconds: float
    bytes: int
    said: str
    problem: str


def load_everything() -> None:
    """Import what commands import when they need it, so that no case has to. Starts no thread: the cases are forks."""
    import onnxruntime
    import onnxsim

    registry = shipped()
    assert onnxruntime and onnxsim and all(map(len, (registry.loaders, registry.measures, registry.targets)))
    assert all(each.doc for each in registry.passes.values())


def outcome(case: Case) -> Outcome:
    """Run one case."""
    with tempfile.TemporaryDirectory(prefix="vggc-fuzz-") as top:
        folder = Path(top, "work")
        folder.mkdir()
        for name, content in case.files.items():
            (folder / name).write_bytes(content)
        said = Path(top, "said")
        child = os.fork()
        if child == 0:
            _be_child(case, folder, said)
        _, status, used = os.wait4(child, 0)
        seconds = used.ru_utime + used.ru_stime
        code = os.waitstatus_to_exitcode(status)
        text = said.read_text(errors="replace")
        found = sorted(each.relative_to(top).as_posix() for each in Path(top).rglob("*"))
        # A compile that was ended by force leaves its staging folder, which the next one removes.
        allowed = {"work", "said", *(f"work/{name}" for name in case.files)}
        strange = [each for each in found if each not in allowed and not each.startswith(("work/out", "work/build"))]
        peak = used.ru_maxrss * 1024
        return Outcome(code, seconds, peak, text, _problem(code, peak, text, strange))


def _problem(code: int, peak: int, text: str, strange: list[str]) -> str:
    if code == -signal.SIGXCPU:
        return f"took more than {SECONDS} CPU seconds"
    if code == -signal.SIGALRM:
        return f"did not end in {WAIT} s"
    if code not in DOCUMENTED:
        return f"ended with {code}"
    if "please report this" in text:
        return "asked for a report"
    if "Traceback (most recent call last)" in text:
        return "printed a traceback"
    if code == 1 and "error: " not in text:
        return "ended with 1 and no message"
    if peak > MEMORY:
        return f"took {peak >> 20} MiB"
    return f"wrote {strange[0]}" if strange else ""


def _be_child(case: Case, folder: Path, said: Path) -> None:
    os.chdir(folder)
    file = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WAIT)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 10))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = 70
    try:
        status = run(list(case.words))
        if status == 0 and case.check is not None and (wrong := case.check(folder)):
            say(f"WRONG {wrong}")
            status = WRONG
        sys.stdout.flush()
        sys.stderr.flush()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def main() -> None:
    """Fuzz for a while; exit status 1 when something was found."""
    kinds = ("recipe", "compile", "bytes", "model", "lint", "sidecar", "engine", "data", "exact", "lossy")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    arguments = parser.parse_args()
    load_everything()
    end = time.monotonic() + 60 * arguments.minutes
    ended: Counter[str] = Counter()
    findings: dict[str, int] = {}
    slowest, largest = 0.0, 0
    for number, case in enumerate(cases(Random(arguments.seed), set(arguments.kinds))):
        if time.monotonic() > end:
            break
        result = outcome(case)
        ended[f"{case.kind} {result.status}"] += 1
        slowest, largest = max(slowest, result.seconds), max(largest, result.bytes)
        if result.problem:
            # One of a kind is enough: those that end with the same words are the same.
            key = f"{case.kind}: {result.problem}: {(result.said.strip().splitlines() or [''])[-1][:100]}"
            last = [line for line in result.said.splitlines() if "Error" in line]
            key = f"{case.kind}: {result.problem}: {last[-1][:100]}" if last else key
            key = re.sub(r"vggc-fuzz-\w+", "...", key)
            findings[key] = findings.get(key, 0) + 1
            if findings[key] == 1:
                _keep(arguments.keep / f"{case.kind}-{arguments.seed}-{number}", case, result)
                say(f"FOUND {key}")
    say(f"{sum(ended.values())} cases, slowest {slowest:.1f} s, largest {largest >> 20} MiB")
    for name, count in sorted(ended.items()):
        say(f"  {name:12} {count}")
    say(f"{len(findings)} kinds of findings" + (f", kept in {arguments.keep}" if findings else ""))
    sys.exit(bool(findings))


def say(text: str) -> None:
    """A line for whoever waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _keep(folder: Path, case: Case, result: Outcome) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    (folder / "said").write_text(f"{' '.join(case.words)}\n{result.problem}\n{result.said}")


if __name__ == "__main__":
    main()
