"""Write runs to an MLflow tracking server or store: their parameters, measures and facts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from vggc.diagnostics import Code, fail
from vggc.diagnostics.packages import MLFLOW
from vggc.report.run_summary import Run

EXPERIMENT = "vggc"

_FORBIDDEN = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow does not allow in names."""

_LONGEST_NAME, _LONGEST_VALUE = 250, 6000


def export_runs(runs: Sequence[Run], address: str) -> list[str]:
    """Write each run as one of the experiment `vggc`. Returns the identifiers that MLflow gave them.

    Raises CompileError when MLflow is not installed, or refuses.
    """
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise fail(
            "--mlflow needs the package mlflow-skinny, which is not installed",
            help=MLFLOW.command,
            code=Code.MISSING_PACKAGE,
        ) from None
    try:
        client = MlflowClient(address)
        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = client.create_experiment(EXPERIMENT) if known is None else known.experiment_id
        return [_export(client, experiment, run) for run in runs]
    except MlflowException as error:
        raise fail(f"MLflow at `{address}` refuses: {str(error).splitlines()[0]}", code=Code.REPORT) from None


def _export(client: Any, experiment: str, run: Run) -> str:
    made = client.create_run(
        experiment, run_name=run.name, tags={f"vggc.{key}": text for key, text in run.facts.items()}
    )
    identifier = str(made.info.run_id)
    for name, text in run.parameters.items():
        client.log_param(identifier, _name(name), text[:_LONGEST_VALUE])
    for name, measure in run.measures.items():
        client.log_metric(identifier, _name(name), measure.number)
    client.set_terminated(identifier)
    return identifier


def _name(text: str) -> str:
    """A name as MLflow allows it: `accuracy(test) >= 97%` becomes `accuracy test 97`."""
    return " ".join(_FORBIDDEN.sub(" ", text).split())[:_LONGEST_NAME]
