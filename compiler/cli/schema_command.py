"""`vggc schema`: the JSON schema of what a command prints with --json, and of report.json."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import click

COMMANDS = ("check", "compile", "doctor", "inspect", "lint", "passes", "plan", "recipes", "targets")
"""The commands that have --json."""

REPORT = "report"
"""The schema of report.json, which the documents of a compile and of a plan contain."""


def schema_of(command: str) -> dict[str, Any]:
    """The schema of the document of a command (JSON Schema, draft 2020-12)."""
    envelope = _read("envelope")
    properties = envelope["properties"]
    properties["command"] = {"const": command}
    result = _read(command)
    if REPORT in result.get("properties", {}):
        result["properties"][REPORT] = _read(REPORT)
    properties["result"]["anyOf"] = [result, {"type": "null"}]
    return {"$id": f"urn:vggc:schema:{command}:{properties['format']['const']}", **envelope}


def report_schema() -> dict[str, Any]:
    """The schema of report.json (JSON Schema, draft 2020-12)."""
    return {"$id": "urn:vggc:schema:report", "$schema": _read("envelope")["$schema"], **_read(REPORT)}


def _read(name: str) -> Any:
    return json.loads((resources.files("vggc.cli.schemas") / f"{name}.json").read_text(encoding="utf-8"))


@click.command()
@click.argument("command", type=click.Choice((*COMMANDS, REPORT)))
def schema(command: str) -> None:
    """Print the JSON schema of what COMMAND prints with --json, or of report.json for `report`."""
    click.echo(json.dumps(report_schema() if command == REPORT else schema_of(command), indent=2))
