"""ONNX's own backend tests through vggc, each result beside what onnxruntime computes of the file that was read.

    make suites                                            # all of them; takes most of an hour
    python benchmarks/suites.py --sample 60                # what fits into a minute, another sample for another --seed
    python benchmarks/suites.py --only 'node/test_conv_*'

The models of the installed `onnx` package (node, simple, pytorch-converted, pytorch-operator, light) go through two
recipes, `simplify` with `fold_batch_norm` and the whole rule library, in four variants: as they are, all inputs but
the first made constant, all but a random one made constant, every dimension symbolic. A result is

    equal            the written file has the inputs, outputs and numbers of the file that was read
    refused          vggc ended with an error that is about the model
    refused wrongly  vggc ended with an error that is its own fault, or that names no way out
    wrong            the written file is invalid, has another interface, or computes other numbers
    crashed          vggc ended with a traceback, died, or took more than --timeout seconds
    not run          onnxruntime does not load or run the file that was read

The exit status is 1 when anything is wrong, crashed or refused wrongly.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from random import Random
from typing import get_args

from rich.console import Console
from rich.table import Column, Table
from suite_models import SUITES, VARIANTS, Trial, trials
from suite_trial import FAILURES, RECIPES, Outcome, Status, try_recipe
from workers import Died, Workers

STATUSES: tuple[Status, ...] = get_args(Status)
Result = tuple[Trial, str, Outcome]

_WIDTH = 160
_NAMES = re.compile(r"`[^`]*`")
_NUMBERS = re.compile(r"-?\d[\d.]*(e[-+]?\d+)?")


def chosen(arguments: argparse.Namespace) -> Iterator[Trial]:
    """The trials that were asked for; a sample is drawn from all of them."""
    found = (each for suite in arguments.suites for each in trials(suite, arguments.seed))
    wanted = (each for each in found if each.variant in arguments.variants and _named(each, arguments.only or ["*"]))
    if arguments.sample or arguments.cases:
        drawn = list(wanted)
        Random(arguments.seed).shuffle(drawn)
        wanted = islice(drawn, arguments.cases)
    end = time.monotonic() + arguments.sample if arguments.sample else None
    for each in wanted:
        if end is not None and time.monotonic() > end:
            return
        yield each


def _named(trial: Trial, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(f"{trial.suite}/{trial.name}", each) for each in globs)


def results(arguments: argparse.Namespace) -> Iterator[Result]:
    """Every recipe's outcome on every trial."""
    todo = ((trial, recipe) for trial in chosen(arguments) for recipe in arguments.recipes)
    with Workers(try_recipe, jobs=arguments.jobs, timeout=arguments.timeout) as workers:
        for (trial, recipe), found in workers.map(todo):
            yield trial, recipe, Outcome("crashed", found.words) if isinstance(found, Died) else found


def noted(found: Iterator[Result], file: Path | None) -> Iterator[Result]:
    """The same results; each is written into a file as soon as it is known, a line of JSON each."""
    with file.open("w") if file else nullcontext() as lines:
        for trial, recipe, outcome in found:
            if lines is not None:
                row = {"suite": trial.suite, "name": trial.name, "variant": trial.variant, "recipe": recipe}
                lines.write(json.dumps({**row, **asdict(outcome)}) + "\n")
                lines.flush()
            yield trial, recipe, outcome


def table(recipe: str, found: Sequence[Result]) -> Table:
    """How many ended in which way, by suite and variant."""
    shown = Table("suite", "variant", *(Column(each, justify="right") for each in STATUSES), title=recipe)
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for trial, _, outcome in found:
        counts[trial.suite, trial.variant][outcome.status] += 1
    for suite in SUITES:
        for variant in VARIANTS:
            if count := counts.get((suite, variant)):
                shown.add_row(suite, variant, *(str(count[each] or "-") for each in STATUSES))
    total = Counter(outcome.status for _, _, outcome in found)
    shown.add_row("all", "", *(str(total[each] or "-") for each in STATUSES), style="bold")
    return shown


def reason(words: str) -> str:
    """A refusal without what differs from model to model."""
    return _NUMBERS.sub("N", _NAMES.sub("`...`", words))


def show(found: Sequence[Result], console: Console) -> None:
    """The tables, the refusals by reason, and every failure by name."""
    for recipe in dict.fromkeys(each[1] for each in found):
        console.print(table(recipe, [each for each in found if each[1] == recipe]))
    for status, title in (("refused", "Refused"), ("not run", "Not run by onnxruntime")):
        reasons: dict[str, list[Result]] = defaultdict(list)
        for each in found:
            if each[2].status == status:
                reasons[reason(each[2].words)].append(each)
        if reasons:
            console.print(f"\n[bold]{title}, by reason[/bold]")
        for alike in sorted(reasons.values(), key=len, reverse=True):
            trial, recipe, outcome = alike[0]
            console.print(f"{len(alike):5}  {outcome.words}\n       such as {trial.label}, {recipe}", markup=False)
    for status in FAILURES:
        failed = [each for each in found if each[2].status == status]
        if failed:
            console.print(f"\n[bold red]{status}: {len(failed)}[/bold red]")
        for trial, recipe, outcome in failed:
            console.print(f"{trial.label}, {recipe}: {outcome.words}", markup=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="such as 'node/test_conv_*'")
    parser.add_argument("--suites", nargs="+", choices=SUITES, default=SUITES)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--sample", type=float, metavar="SECONDS", help="a random sample, for so long")
    parser.add_argument("--cases", type=int, metavar="N", help="a random sample of so many models and variants")
    parser.add_argument("--seed", type=int, default=0, help="of the sample, and of what is random in the variants")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--timeout", type=float, default=300, help="seconds after which a model has crashed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome into a file, a line each")
    arguments = parser.parse_args()
    started = time.monotonic()
    found = list(noted(results(arguments), arguments.json))
    console = Console(width=_WIDTH)
    show(found, console)
    console.print(f"\n{len(found)} compiles in {time.monotonic() - started:.0f} s")
    sys.exit(any(outcome.status in FAILURES for _, _, outcome in found))


if __name__ == "__main__":
    main()
