"""`vggc explain-error`: what a message means and what to do, by its code, and the page docs/errors.md."""

from __future__ import annotations

import click

from vggc.cli.completion_command import code_names, completed
from vggc.diagnostics.codes import ROOMS, Code, code_of, explanations


@click.command("explain-error")
@click.argument("code", required=False, shell_complete=completed(code_names))
@click.option("--markdown", is_flag=True, help="Write the page of all codes of the documentation.")
def explain_error(code: str | None, markdown: bool) -> None:
    """Explain the message with CODE, such as VGGC121: its causes, and what to do. Without CODE, list all codes."""
    if markdown:
        click.echo(errors_page(), nl=False)
    elif code is None:
        click.echo("\n".join(f"{each.id}  {each.title}" for each in Code))
    else:
        shown = code_of(code)
        if shown is None:
            raise click.UsageError(f"`{code}` is not a code. `vggc explain-error` lists all codes.")
        click.echo(f"{shown.id}: {shown.title}\n\n{explanations()[shown]}")


def errors_page() -> str:
    """The text of docs/errors.md: every code with its explanation, by what the messages are about."""
    lines = [
        "# Error codes",
        "",
        "`vggc explain-error --markdown` makes this page. Every message ends with its code, which stays the same when",
        "the words of the message change. `vggc explain-error VGGC111` prints a section in the terminal.",
        "[Troubleshooting](troubleshooting.md) shows common messages with examples.",
    ]
    for room, about in ROOMS.items():
        lines += ["", f"## {about[0].upper()}{about[1:]}"]
        for each in Code:
            if each.number // 100 == room:
                lines += ["", f"### {each.id}: {each.title}", "", explanations()[each]]
    return "\n".join(lines) + "\n"
