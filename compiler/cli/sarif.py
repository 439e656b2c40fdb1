"""Messages as a SARIF 2.1.0 log (OASIS Standard, 2020), which code scanners and editors read.

The rules of the log are the codes of messages. Columns count Unicode characters. A message about a node of a model
names the model's file and the node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vggc import __version__
from vggc.diagnostics import Code, Diagnostic
from vggc.diagnostics.codes import explanations

VERSION = "2.1.0"


@dataclass(frozen=True)
class Located:
    """A message, and, when it is about a model, the model's file and the name of the node (empty for all of it)."""

    diagnostic: Diagnostic
    artifact: Path | None = None
    node: str = ""


def sarif_log(messages: Sequence[Located], status: int) -> dict[str, Any]:
    """The log of one run that ended with an exit status."""
    codes = list(dict.fromkeys(each.diagnostic.code for each in messages))
    driver = {
        "name": "vggc",
        "semanticVersion": __version__,
        "rules": [_rule(each) for each in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": status in (0, 1), "exitCode": status}],
        "results": [_result(each, codes.index(each.diagnostic.code)) for each in messages],
    }
    return {"version": VERSION, "runs": [run]}


def _rule(code: Code) -> dict[str, Any]:
    text = " ".join(explanations()[code].split())
    return {
        "id": code.id,
        "name": code.name.title().replace("_", ""),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": text},
        "help": {"text": text, "markdown": explanations()[code]},
    }


def _result(located: Located, index: int) -> dict[str, Any]:
    diagnostic = located.diagnostic
    parts = [diagnostic.message, *(f"{label}: {text}" for label, text in diagnostic.facts)]
    if diagnostic.help:
        parts.append(f"help: {diagnostic.help}")
    result: dict[str, Any] = {
        "ruleId": diagnostic.code.id,
        "ruleIndex": index,
        "level": diagnostic.severity,
        "message": {"text": "\n".join(parts)},
    }
    if place := _place(located):
        result["locations"] = [place]
    return result


def _place(located: Located) -> dict[str, Any]:
    span = located.diagnostic.span
    place: dict[str, Any] = {}
    if span is not None:
        (line, column), (end_line, end_column) = (span.source.position(each) for each in (span.start, span.end))
        region = {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}
        place["physicalLocation"] = {"artifactLocation": {"uri": _uri(span.source.path)}, "region": region}
    elif located.artifact is not None:
        place["physicalLocation"] = {"artifactLocation": {"uri": _uri(str(located.artifact))}}
    if located.node:
        place["logicalLocations"] = [{"name": located.node, "kind": "object"}]
    return place


def _uri(path: str) -> str:
    """A path as a URI: relative to where the command ran, or absolute. `vggc:` names stay as they are."""
    return Path(path).as_uri() if Path(path).is_absolute() else quote(path.replace("\\", "/"), safe="/:@")
