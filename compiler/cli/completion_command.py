"""`vggc completion`: what a shell reads to complete commands, options, passes and recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

VARIABLE = "_VGGC_COMPLETE"
"""The environment variable by which a shell asks vggc for completions; click reads it."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, passes and recipes in SHELL.

    bash: eval "$(vggc completion bash)" in ~/.bashrc; zsh: eval "$(vggc completion zsh)" in ~/.zshrc;
    fish: vggc completion fish > ~/.config/fish/completions/vggc.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "vggc", VARIABLE).source())


def completed(names: Callable[[], Iterable[str]]) -> Any:
    """The completion of an argument with one of these names."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(each) for each in names() if each.startswith(incomplete)]

    return complete


def pass_names() -> Iterable[str]:
    """The names of the passes that come with vggc."""
    from vggc.binding.registry import shipped

    return shipped().passes


def target_names() -> Iterable[str]:
    """The names of the targets."""
    from vggc.binding.registry import shipped

    return shipped().targets


def recipe_names() -> Iterable[str]:
    """The names of the ready recipes."""
    from vggc.grammar.shipped_recipes import ready_recipes

    return ready_recipes()


def code_names() -> Iterable[str]:
    """The codes of messages."""
    from vggc.diagnostics import Code

    return [each.id for each in Code]
