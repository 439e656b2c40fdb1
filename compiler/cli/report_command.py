"""`vggc report`: several compiles side by side, on a page for a browser, or in MLflow."""

from __future__ import annotations

from pathlib import Path

import click

from vggc.cli.console import replace_text, stdout
from vggc.cli.interrupts import LoadingCommand
from vggc.diagnostics.number_text import counted


@click.command(cls=LoadingCommand)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=Path("runs.html"),
    show_default=True,
    help="The page.",
)
@click.option("--open", "opened", is_flag=True, help="Open the page in the browser.")
@click.option("--mlflow", metavar="URI", help="Also write parameters and measures to this MLflow server or store.")
def report(runs: tuple[str, ...], output: Path, opened: bool, mlflow: str | None) -> None:
    """Write a page with several compiles side by side: measures, parameters, recipes, widths, times, losses.

    RUN is the output folder of a compile, a report.json, or REVISION:PATH of a report.json in git.
    """
    from vggc.report.mlflow_export import export_runs
    from vggc.report.run_summary import read_run
    from vggc.report.runs_page import runs_page

    read = [read_run(each) for each in runs]
    replace_text(output, runs_page(read))
    stdout().print(f"page: {output}")
    if mlflow is not None:
        written = export_runs(read, mlflow)
        stdout().print(f"MLflow: {counted(len(written), 'run')} written to {mlflow}")
    if opened:
        click.launch(str(output))
