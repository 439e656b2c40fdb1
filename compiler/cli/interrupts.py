"""Signals that end the program, like Ctrl-C, raise KeyboardInterrupt, but not while a library is loaded.

Some libraries crash when they are interrupted while they are loaded.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def end_on_signals() -> None:
    """Let SIGTERM and a closed terminal (SIGHUP) end the program like Ctrl-C. `nohup` still ignores SIGHUP."""
    for each in _ENDING:
        if signal.getsignal(each) is signal.SIG_DFL:
            signal.signal(each, _interrupt)


def ignore_signals() -> None:
    """Ignore these signals, so that they do not change the exit status when only the interpreter still has to end."""
    for each in _ENDING:
        # A handler that was not set from Python is None. It belongs to somebody else.
        if signal.getsignal(each) is not None:
            signal.signal(each, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def held_back() -> Iterator[None]:
    """Delay signals that arrive in this block: they interrupt at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    # A handler that was not set from Python is None and could not be restored; an ignored signal stays ignored.
    replaced = {each: handler for each in _ENDING if (handler := signal.getsignal(each)) not in (None, signal.SIG_IGN)}
    for each in replaced:
        signal.signal(each, note)
    try:
        yield
    finally:
        for each, handler in replaced.items():
            signal.signal(each, handler)
    if caught:
        raise KeyboardInterrupt


class LoadingCommand(click.Command):
    """A command that loads onnx first, with signals delayed, because onnx crashes when an interrupt ends its start."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.possibilities or not any(each.name == "overrides" for each in self.params):
                raise
            hint = "What a recipe can be given are its parameters: `--set NAME=VALUE`, such as `--set samples=FOLDER`."
            raise click.UsageError(f"No such option '{error.option_name}'. {hint}", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        with held_back():
            import onnx  # noqa: F401
        return super().invoke(ctx)
