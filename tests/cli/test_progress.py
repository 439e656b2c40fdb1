"""What a command shows of its work, with a clock that only the test moves, and on terminals that only look like one."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from vggc.cli import progress as module
from vggc.cli.console import print_diagnostics
from vggc.cli.progress import ShownProgress, duration
from vggc.diagnostics import Diagnostic

TIMES = re.compile(r"\d[\d.]* (?:ns|us|ms|s)\b")


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(clock: Clock, *, lines: bool = True, verbose: bool = False) -> tuple[ShownProgress, list[str]]:
    shown: list[str] = []
    return ShownProgress(shown.append, lines=lines, verbose=verbose, clock=clock), shown


def line(progress: ShownProgress) -> str:
    """What a terminal draws at this moment."""
    console = Console(file=Terminal(), force_terminal=True, width=200, color_system=None)
    with console.capture() as captured:
        console.print(progress)
    return captured.get().strip()


# --- lines that stay ---------------------------------------------------------------------------------------


def test_a_line_when_a_step_begins_and_one_when_it_ends(clock: Clock) -> None:
    progress, shown = made(clock)
    progress.begin("simplify", 1, 2)
    clock.now += 0.31
    progress.begin("quantize", 2, 2)
    clock.now += 75
    progress.end()
    assert shown == [
        "step 1 of 2: simplify",
        "step 1 of 2: simplify: 0.3 s",
        "step 2 of 2: quantize",
        "step 2 of 2: quantize: 75.0 s",
    ]


def test_the_end_of_other_work_is_shown_when_it_took_a_second(clock: Clock) -> None:
    progress, shown = made(clock)
    progress.begin("reading the model")
    clock.now += 0.9
    progress.begin("target onnx")
    clock.now += 1
    progress.end()
    assert shown == ["reading the model", "target onnx", "target onnx: 1.0 s"]


def test_within_a_step_there_is_one_line_in_15_seconds(clock: Clock) -> None:
    progress, shown = made(clock)
    progress.begin("prune_channels", 2, 4)
    for node in range(90):
        progress.inside("solve weights", node, 90)
        clock.now += 1
    assert shown == [
        "step 2 of 4: prune_channels",
        "step 2 of 4: prune_channels: solve weights: 16 of 90, 17%, 0:15 elapsed, 1:15 remaining",
        "step 2 of 4: prune_channels: solve weights: 31 of 90, 33%, 0:30 elapsed, 1:00 remaining",
        "step 2 of 4: prune_channels: solve weights: 46 of 90, 50%, 0:45 elapsed, 0:45 remaining",
        "step 2 of 4: prune_channels: solve weights: 61 of 90, 67%, 1:00 elapsed, 0:30 remaining",
        "step 2 of 4: prune_channels: solve weights: 76 of 90, 83%, 1:15 elapsed, 0:15 remaining",
    ]


def test_a_step_that_says_nothing_is_shown_as_well(clock: Clock) -> None:
    progress, shown = made(clock)
    progress.tick()
    progress.begin("my_pass", 1, 1)
    for _ in range(31):
        clock.now += 1
        progress.tick()
    assert shown[1:] == ["step 1 of 1: my_pass, 0:15 elapsed", "step 1 of 1: my_pass, 0:30 elapsed"]


def test_verbose_shows_each_kind_of_work_once(clock: Clock) -> None:
    progress, shown = made(clock, verbose=True)
    progress.inside("nothing has begun")
    progress.begin("prune_channels", 1, 1)
    progress.inside("read the samples")
    for node in range(3):
        progress.inside("solve weights", node, 3)
    assert shown == [
        "step 1 of 1: prune_channels",
        "step 1 of 1: prune_channels: read the samples",
        "step 1 of 1: prune_channels: solve weights: 1 of 3",
    ]


# --- the line of a terminal ----------------------------------------------------------------------------------


def test_times_are_shown_after_a_second(clock: Clock) -> None:
    progress, shown = made(clock, lines=False)
    assert line(progress) == "starting"
    progress.begin("quantize", 3, 3)
    clock.now += 1
    assert line(progress) == "step 3 of 3: quantize"
    clock.now += 0.1
    assert line(progress) == "step 3 of 3: quantize, 0:01 elapsed"
    progress.begin("target onnx")
    assert line(progress) == "target onnx"
    assert shown == []


def test_share_and_remaining_time_are_those_of_the_counted_parts(clock: Clock) -> None:
    progress, _ = made(clock, lines=False)
    progress.begin("quantize", 1, 1)
    clock.now += 60
    progress.inside("adjust weights", 0, 20)
    assert line(progress) == "step 1 of 1: quantize: adjust weights: 1 of 20, 0%, 1:00 elapsed"
    clock.now += 10
    progress.inside("adjust weights", 5, 20)
    assert line(progress) == "step 1 of 1: quantize: adjust weights: 6 of 20, 25%, 1:10 elapsed, 0:30 remaining"
    clock.now += 30
    progress.inside("adjust weights", 20, 20)
    assert line(progress) == "step 1 of 1: quantize: adjust weights: 20 of 20, 100%, 1:40 elapsed, 0:00 remaining"
    progress.inside("write")
    assert line(progress) == "step 1 of 1: quantize: write, 1:40 elapsed"


def test_markup_in_names_is_shown_as_it_is(clock: Clock) -> None:
    progress, _ = made(clock, lines=False)
    progress.begin("my_pass", 1, 1)
    progress.inside("looking at [/second]")
    assert line(progress) == "step 1 of 1: my_pass: looking at [/second]"


@pytest.mark.parametrize(("seconds", "text"), [(0.9, "0:00"), (67, "1:07"), (3600, "1:00:00"), (45296.7, "12:34:56")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("terminal", "environment", "mode"),
    [
        (True, {}, "bar"),
        (False, {}, "lines"),
        (False, {"FORCE_COLOR": "1"}, "lines"),
        (True, {"NO_COLOR": "1"}, "bar"),
        (True, {"TERM": "dumb"}, "lines"),
        (True, {"VGGC_PROGRESS": "lines"}, "lines"),
        (True, {"VGGC_PROGRESS": "off"}, "off"),
    ],
)
def test_where_there_is_a_line_that_changes(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], mode: str
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    for name in ("VGGC_PROGRESS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert module._mode() == mode


def test_a_wrong_mode_is_named(vggc: Any, recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGGC_PROGRESS", "bars")
    with pytest.raises(click.UsageError, match="VGGC_PROGRESS is `bars`, which is not one of lines, off"):
        module._mode()
    ran = vggc(recipe("simplify"), "model.onnx", "-o", "out")
    assert ran.status == 2


# --- colours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (False, {"FORCE_COLOR": ""}, False),
    ],
)
def test_colours(monkeypatch: pytest.MonkeyPatch, terminal: bool, environment: dict[str, str], coloured: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    print_diagnostics([Diagnostic("wrong")])
    assert ("\x1b[" in stream.getvalue()) == coloured


# --- the options ---------------------------------------------------------------------------------------------


def test_a_compile_that_nobody_watches(vggc: Any, recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGGC_PROGRESS", "lines")
    ran = vggc(recipe("simplify\nrequire nodes <= 6\nfold_batch_norm"), "model.onnx", "-o", "out")
    assert ran.status == 0
    steps = [TIMES.sub("T", each) for each in ran.err.splitlines() if each.startswith("step")]
    assert steps == [
        "step 1 of 2: simplify",
        "step 1 of 2: simplify: T",
        "step 2 of 2: fold_batch_norm",
        "step 2 of 2: fold_batch_norm: T",
    ]
    assert "require nodes <= 6" in ran.err.splitlines()
    assert "step" not in ran.out.replace("step  ", "")


def test_verbose_shows_changes_and_rules(vggc: Any, recipe: Any) -> None:
    text = "rule drop { Identity(x) => x }\ndrop\nfold_batch_norm\nfold_batch_norm"
    ran = vggc(recipe(text), "model.onnx", "-o", "out", "-v")
    assert ran.status == 0
    assert [TIMES.sub("T", each) for each in ran.err.splitlines()] == [
        "drop (recipe.opt:2): 1 change, T",
        "    drop: 1",
        "    rule drop: applied 1 time, declined 0 times, tried at 1 node, T",
        "fold_batch_norm (recipe.opt:3): 1 change, T",
        "    fold BatchNormalization into Conv: 1",
        "fold_batch_norm (recipe.opt:4): nothing to change, T",
    ]


def test_quiet_prints_the_last_line_only(vggc: Any, recipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGGC_PROGRESS", "lines")
    text = "param unused = 3\nsimplify\nrequire nodes <= 3 else warn"
    ran = vggc(recipe(text), "model.onnx", "-o", "out", "-q")
    assert (ran.status, ran.out, ran.err) == (0, f"report: {Path('out/report.html')}\n", "")


def test_quiet_prints_errors(vggc: Any, recipe: Any) -> None:
    ran = vggc(recipe("simplify\nrequire nodes <= 3"), "model.onnx", "-o", "out", "-q")
    assert (ran.status, ran.out) == (3, f"report of what ran: {Path('out-failed/report.html')}\n")
    assert ran.err.splitlines()[0] == "error: requirement not met: nodes <= 3 [VGGC505]"


def test_quiet_and_verbose_exclude_each_other(vggc: Any, recipe: Any) -> None:
    ran = vggc(recipe("simplify"), "model.onnx", "-q", "-v")
    assert ran.status == 2
    assert "--verbose and --quiet exclude each other" in ran.err


def logged(path: Path) -> list[str]:
    """The lines of a log without their times, which are checked."""
    stamp = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d  ")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all(stamp.match(each) for each in lines)
    return [TIMES.sub("T", stamp.sub("", each)) for each in lines]


def test_the_log_has_everything_and_is_appended_to(vggc: Any, recipe: Any) -> None:
    words = (recipe("param unused = 3\nsimplify\nrequire nodes <= 3 else warn"), "model.onnx", "-o", "out")
    assert vggc(*words, "-q", "--log", "run.log").status == 0
    first = logged(Path("run.log"))
    assert first[0].endswith(": vggc recipe.opt model.onnx -o out -q --log run.log")
    assert first[-1] == "exit status 0"
    for text in (
        "warning: parameter `unused` is never used [VGGC126]",
        "step 1 of 1: simplify",
        "simplify (recipe.opt:2): 1 change, T",
        "step 1 of 1: simplify: T",
        "require nodes <= 3",
        "warning: requirement not met: nodes <= 3: measured 6, wanted <= 3",
    ):
        assert text in first
    assert vggc(recipe("simplify\nrequire nodes <= 3"), "model.onnx", "-o", "out", "--log", "run.log").status == 3
    second = logged(Path("run.log"))
    assert second[: len(first)] == first
    assert "error: requirement not met: nodes <= 3 [VGGC505]" in second[len(first) :]
    assert second[-1] == "exit status 3"


def test_a_log_that_cannot_be_written(vggc: Any, recipe: Any) -> None:
    ran = vggc(recipe("simplify"), "model.onnx", "--log", "missing/run.log")
    assert ran.status == 1
    assert ran.err.splitlines()[0].startswith(f"error: cannot write the log `{Path('missing/run.log')}`: ")
    assert ran.err.splitlines()[1] == "help: name a file in a folder that exists"


def test_one_command_does_not_change_the_next(vggc: Any, recipe: Any) -> None:
    text = "simplify\nrequire nodes <= 3 else warn"
    assert vggc(recipe(text), "model.onnx", "-o", "out", "-q", "--log", "run.log").err == ""
    before = Path("run.log").read_text(encoding="utf-8")
    assert vggc(recipe(text), "model.onnx", "-o", "out").err.startswith("warning: requirement not met")
    assert Path("run.log").read_text(encoding="utf-8") == before


def test_plan_takes_the_options(vggc: Any, recipe: Any) -> None:
    ran = vggc("plan", recipe("fold_batch_norm"), "model.onnx", "-v")
    assert ran.status == 0
    assert "    fold BatchNormalization into Conv: 1" in ran.err.splitlines()
