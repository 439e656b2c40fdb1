"""What a report.json says of one compile, as parameters and measures that can stand beside those of other compiles."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vggc.diagnostics import Code, CompileError, fail
from vggc.diagnostics.number_text import human_bytes, human_count

REPORT = "report.json"

_NEEDED = {"recipe", "model", "steps", "artifacts"}


@dataclass(frozen=True)
class Measure:
    """A number, and the same number as people read it."""

    number: float
    text: str


@dataclass(frozen=True)
class Run:
    """One compile. `name` is the folder, file or revision that it was read from.

    facts      model, recipe, date, machine, whether it failed
    parameters those of the recipe
    steps      by step, with its number when it ran several times: what it changed
    measures   requirements, costs, time, fidelity
    widths     by pruned node: the channels that are left
    times      by node: milliseconds of its kernel
    lost       by node: the noise that it added, as a share of the signal
    """

    name: str
    recipe: str
    facts: Mapping[str, str]
    parameters: Mapping[str, str]
    steps: Mapping[str, str]
    measures: Mapping[str, Measure]
    widths: Mapping[str, Measure]
    times: Mapping[str, Measure]
    lost: Mapping[str, Measure]


def read_run(source: str) -> Run:
    """The compile in an output folder, a report.json, or `REVISION:PATH` of a file in git.

    Raises CompileError when there is no report, or the file is not one.
    """
    path = Path(source)
    if path.is_dir():
        path = path / REPORT
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else _of_revision(source)
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not content.keys() >= _NEEDED:
        raise _not_a_report(source)
    try:
        return _run(source, content)
    except (KeyError, TypeError, AttributeError, IndexError):
        raise _not_a_report(source) from None


def _not_a_report(source: str) -> CompileError:
    return fail(
        f"`{source}` is not a report of vggc",
        help="name the output folder of a compile, its report.json, or REVISION:PATH of a report.json in git",
        code=Code.REPORT,
    )


def _of_revision(source: str) -> str:
    """The text of `REVISION:PATH` as git has it, for the repository of the current folder."""
    revision, colon, path = source.partition(":")
    if colon and revision and not revision.startswith("-"):
        try:
            shown = subprocess.run(["git", "show", f"{revision}:./{path}"], capture_output=True, check=False)
        except OSError:
            shown = None
        if shown is not None and shown.returncode == 0:
            return shown.stdout.decode("utf-8", "replace")
    raise fail(
        f"there is no report `{source}`",
        help="name the output folder of a compile, its report.json, or REVISION:PATH of a report.json in git",
        code=Code.REPORT,
    )


def _run(source: str, report: Mapping[str, Any]) -> Run:
    failure = report.get("failure")
    facts = {
        "model": f"{report['model']['path']} {report['model'].get('sha256', '')[:12]}",
        "recipe": f"{report['recipe']['path']} {report['recipe'].get('sha256', '')[:12]}",
        "outcome": "failed: " + " ".join(failure["messages"][:1]).split("\n")[0] if failure else "done",
        **report.get("facts", {}),
    }
    kept = [step for step in report["steps"] if not step["undone"]]
    return Run(
        name=source,
        recipe=report["recipe"]["text"],
        facts=facts,
        parameters={name: str(value) for name, value in report["recipe"]["parameters"].items()},
        steps=_steps(report["steps"]),
        measures=_measures(report, kept),
        widths=_widths(kept),
        times=_times(report.get("latency")),
        lost=_lost(report.get("accuracy")),
    )


def _steps(steps: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for step in steps:
        name, number = step["name"], 2
        while name in found:
            name, number = f"{step['name']} ({number})", number + 1
        changes = ", ".join(f"{what} ({times}x)" if times > 1 else what for what, times in step["changes"].items())
        found[name] = ("undone: " if step["undone"] else "") + (changes or "no change")
    return found


def _measures(report: Mapping[str, Any], kept: list[dict[str, Any]]) -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    latency = report.get("latency")
    if latency is not None:
        seconds = latency["after"]["median"]
        noise = (latency["after"]["high"] - latency["after"]["low"]) / 2
        found["time on the CPU"] = Measure(seconds, f"{1000 * seconds:.3g} ms ± {1000 * noise:.2g}")
    if kept:
        size = kept[-1]["after"]
        for name, key, shown in (("MACs", "macs", human_count), ("parameters", "params", human_count)):
            if size[key] is not None:
                found[name] = Measure(size[key], shown(size[key]))
        found["bytes of weights"] = Measure(size["bytes"], human_bytes(size["bytes"]))
        found["nodes"] = Measure(size["nodes"], str(size["nodes"]))
    for each in report.get("artifacts", ()):
        found[f"bytes of {each['path']}"] = Measure(each["bytes"], human_bytes(each["bytes"]))
    for each in (*report.get("requirements", ()), *report.get("objectives", ())):
        if each["value"] is not None:
            found[each["text"]] = Measure(each["value"], each["measured"])
    fidelity = report.get("fidelity")
    for output in fidelity["outputs"] if fidelity is not None else ():
        if output["sqnr"] is not None:
            found[f"SQNR of {output['name']}"] = Measure(output["sqnr"], f"{output['sqnr']:.1f} dB")
        if output["agreement"] is not None:
            found[f"agreement of {output['name']}"] = Measure(output["agreement"], f"{100 * output['agreement']:.2f}%")
    found["seconds of the compile"] = Measure(report["seconds"], f"{report['seconds']:.1f}")
    return found


def _widths(kept: list[dict[str, Any]]) -> dict[str, Measure]:
    left = {name: len(channels) for step in kept for name, channels in step["channels"].items()}
    return {name: Measure(count, str(count)) for name, count in left.items()}


def _times(latency: Mapping[str, Any] | None) -> dict[str, Measure]:
    kernels = latency["nodes"][1] if latency is not None else ()
    return {each["values"][-1]: Measure(each["seconds"], f"{1000 * each['seconds']:.3g} ms") for each in kernels}


def _lost(accuracy: Mapping[str, Any] | None) -> dict[str, Measure]:
    values = accuracy["values"] if accuracy is not None else ()
    return {each["node"]: Measure(each["lost"], f"{100 * each['lost']:.2g}%") for each in values if each["lost"]}
