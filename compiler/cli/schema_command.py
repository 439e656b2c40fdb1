"""`vggc schema`: the JSON schema of what a command prints with --json."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import click

COMMANDS = ("check", "compile", "doctor", "inspect", "lint", "passes", "plan", "recipes", "targets")
"""The commands that have --json."""


def schema_of(command: str) -> dict[str, Any]:
    """The schema of the document of a command (JSON Schema, draft 2020-12)."""
    envelope = _read("envelope")
    properties = envelope["properties"]
    properties["command"] = {"const": command}
    properties["result"]["anyOf"] = [_read(command), {"type": "null"}]
    return {"$id": f"urn:vggc:schema:{command}:{properties['format']['const']}", **envelope}


def _read(name: str) -> Any:
    return json.loads((resources.files("vggc.cli.schemas") / f"{name}.json").read_text(encoding="utf-8"))


@click.command()
@click.argument("command", type=click.Choice(COMMANDS))
def schema(command: str) -> None:
    """Print the JSON schema of what COMMAND prints with --json."""
    click.echo(json.dumps(schema_of(command), indent=2))
