"""One model through the recipes of the suites, and how that ended."""

from __future__ import annotations

import os
import re
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import onnx
from oracle import Feeds, Oracle, distance, moved, tolerance
from suite_models import Trial

from vggc.binding import bind
from vggc.diagnostics import CompileError
from vggc.diagnostics.source import Source
from vggc.grammar.parser import parse
from vggc.pipeline.compile import compile_model
from vggc.pipeline.model import Pipeline
from vggc.pipeline.verify import VerifyMode

Status = Literal["equal", "refused", "refused wrongly", "wrong", "crashed", "not run"]
FAILURES: tuple[Status, ...] = ("refused wrongly", "wrong", "crashed")

RECIPES = {
    "fold": "simplify\nfold_batch_norm\ntarget onnx\n",
    "library": 'use "vggc:rules/all.opt"\noptimize\ntarget onnx\n',
}

_ADMITS = re.compile(
    r"please report|though `\w+` is exact|does not run any more|left a graph that is not valid|bug in vggc"
    r"|has at most \d+ inputs?, not|has no attribute|weights of the model are not numbers"
)
"""Refusals that are vggc's own fault: it says so, it complains of its own rules, or of numbers that are legal."""

_CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_FOLDER = re.compile(r"/\S*/suites-\w+/")
_LONGEST = 300
_ROOT = Path(__file__).parents[1]
_FOLDERS = ("compiler", "passes", "grammar")


@dataclass(frozen=True)
class Outcome:
    """How a recipe ended on a model.

    `not run`: onnxruntime does not run the model that was read, so nothing can be compared; a crash is one all the
    same. `words` are those of the refusal, or say what is wrong.
    """

    status: Status
    words: str = ""
    error: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Reference:
    """What the model that was read computes, in onnxruntime from the file's bytes."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    feeds: tuple[Feeds, ...]
    results: tuple[Mapping[str, Any], ...]
    valid: bool


def try_recipe(given: tuple[Trial, str]) -> Outcome:
    """How a recipe of RECIPES ends on a model."""
    trial, recipe = given
    os.environ["VGGC_CACHE"] = "off"
    with tempfile.TemporaryDirectory(prefix="suites-") as folder:
        model = Path(folder, "model.onnx")
        model.write_bytes(trial.model)
        try:
            reference: Reference | str = read_reference(model, trial.feeds)
        except Exception as error:  # noqa: BLE001 - whatever it is, onnxruntime does not run the model
            reference = _said(error)
        return _outcome(recipe, model, reference)


def read_reference(model: Path, feeds: tuple[Feeds, ...]) -> Reference:
    """Run a file in onnxruntime. Raises onnxruntime's own exceptions."""
    oracle = Oracle(model)
    results = tuple(oracle.run(each) for each in feeds)
    return Reference(oracle.inputs, oracle.outputs, feeds, results, _valid(model) == "")


def _said(error: Exception) -> str:
    """What a library says, in one line."""
    text = _FOLDER.sub("", _CODE.sub("", " ".join(str(error).split())))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _valid(model: Path) -> str:
    """Why the ONNX checker refuses a file; empty when it does not."""
    try:
        onnx.checker.check_model(str(model), full_check=True)
    except Exception as error:  # noqa: BLE001 - the checker has several, and shape inference others
        return _said(error)
    return ""


def _outcome(recipe: str, model: Path, reference: Reference | str) -> Outcome:
    started = perf_counter()
    found = compiled(recipe, model, reference, "end")
    if found.status == "refused":
        if _ADMITS.search(found.words) or "(help: " not in found.words:
            found = replace(found, status="refused wrongly")
        elif (unchecked := compiled(recipe, model, reference, "off")).status in ("wrong", "crashed"):
            # Whoever follows the advice to leave the check out gets this.
            found = replace(unchecked, words=f"with --verify off: {unchecked.words}; otherwise refused: {found.words}")
    if isinstance(reference, str) and found.status != "crashed":
        found = Outcome("not run", reference)
    return replace(found, seconds=perf_counter() - started)


@cache
def _pipeline(recipe: str) -> Pipeline:
    return bind(parse(Source(f"{recipe}.opt", RECIPES[recipe])))


def compiled(recipe: str, model: Path, reference: Reference | str, verify: VerifyMode) -> Outcome:
    output = model.with_name(f"{recipe}-{verify}")
    try:
        compile_model(_pipeline(recipe), model, output, verify=verify)
    except CompileError as error:
        return Outcome("refused", "; ".join(_text(each) for each in error.diagnostics if each.severity == "error"))
    except Exception as error:  # noqa: BLE001 - this is what is looked for: a user would see exit status 70
        return Outcome("crashed", f"{type(error).__name__}: {error}{_place(error)}")
    return judged(output / "model.onnx", reference)


def _text(diagnostic: Any) -> str:
    facts = "".join(f" [{label}: {text}]" for label, text in diagnostic.facts)
    return f"{diagnostic.message}{facts}" + (f" (help: {diagnostic.help})" if diagnostic.help else "")


def _place(error: Exception) -> str:
    """The line of vggc that raised, for a traceback that may end in a library."""
    own = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_relative_to(_ROOT)]
    last = next((each for each in reversed(own) if Path(each.filename).relative_to(_ROOT).parts[0] in _FOLDERS), None)
    return f" at {Path(last.filename).relative_to(_ROOT)}:{last.lineno}" if last else ""


def judged(written: Path, reference: Reference | str) -> Outcome:
    """The written file beside what was read: its interface, its validity, its numbers."""
    if isinstance(reference, str):
        return Outcome("equal")
    try:
        oracle = Oracle(written)
    except Exception as error:  # noqa: BLE001 - onnxruntime has exceptions without a common base
        return Outcome("wrong", f"onnxruntime does not load what was written: {_said(error)}")
    for what, old, new in (("inputs", reference.inputs, oracle.inputs), ("outputs", reference.outputs, oracle.outputs)):
        if list(old.items()) != list(new.items()):
            return Outcome("wrong", f"the {what} {_listed(old)} became {_listed(new)}")
    if reference.valid and (problem := _valid(written)):
        return Outcome("wrong", f"what was written is not valid: {problem}")
    allowed = tolerance(*reference.inputs.values(), *reference.outputs.values())
    worst = 0.0
    for feeds, wanted in zip(reference.feeds, reference.results, strict=True):
        try:
            got = oracle.run(feeds)
        except Exception as error:  # noqa: BLE001 - as above
            return Outcome("wrong", f"onnxruntime does not run what was written: {_said(error)}")
        for name, value in wanted.items():
            error, words = distance(value, got[name])
            worst = max(worst, error)
            if error > allowed and error > 2 * moved(written.parents[1] / "model.onnx", feeds, name, value):
                return Outcome("wrong", f"output `{name}`: {words}", error)
    return Outcome("equal", error=worst)


def _listed(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {kind}" for name, kind in values.items()) or "(none)"
