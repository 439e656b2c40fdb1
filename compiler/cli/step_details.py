"""What a step did, in lines for --verbose and --log: its changes, its rules and what it declined."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vggc.cli.console import stderr
from vggc.cli.verbosity import verbosity, write_log
from vggc.diagnostics.number_text import counted, human_seconds
from vggc.graph import Graph
from vggc.pipeline.runner import Stepped
from vggc.report.record import StepRecord


def step_details(record: StepRecord) -> Iterator[str]:
    """One line for the step, and indented ones for everything that it counted."""
    what = counted(record.total, "change") if record.total else "nothing to change"
    source = "from the cache" if record.cached else human_seconds(record.seconds)
    yield f"{record.name} ({record.line}): {what}, {source}"
    yield from (f"    {change}: {count}" for change, count in record.changes.items())
    for name, tally in record.rules.items():
        yield (
            f"    rule {name}: applied {counted(tally.applied, 'time')}, declined {counted(tally.declined, 'time')}, "
            f"tried at {counted(tally.tried, 'node')}, {human_seconds(tally.seconds)}"
        )
    for each in record.declined:
        times = f" ({each.times} times)" if each.times > 1 else ""
        yield f"    declined: {each.what}: {each.reason}{times}"
    yield from (f"    note: {each}" for each in record.notes)


def detailed(then: Stepped) -> Stepped:
    """A function that writes the details of a step where --verbose and --log want them, and calls `then`."""

    def stepped(record: StepRecord, graph: Callable[[], Graph]) -> None:
        for line in step_details(record):
            write_log(line)
            if verbosity().verbose:
                stderr().print(line, soft_wrap=True)
        then(record, graph)

    return stepped
