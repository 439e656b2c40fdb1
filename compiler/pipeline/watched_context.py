"""A context that notes what a pass asks it: the result of the pass depends on nothing else in the context."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from vggc.rewrite import Context

_WITHOUT_EFFECT = {"log", "progress", "cache", "original"}
"""The parts that no result depends on, or only through the model as read."""

_DERIVED = {name: each for name, each in vars(Context).items() if isinstance(each, property)}
_WATCHED = frozenset({each.name for each in fields(Context)} - _WITHOUT_EFFECT | _DERIVED.keys())


@dataclass(eq=False)
class WatchedContext(Context):
    """A Context whose `asked` has the names of the parts that were read."""

    asked: set[str] = field(default_factory=set)

    def __getattribute__(self, name: str) -> Any:
        if name not in _WATCHED:
            return super().__getattribute__(name)
        self.asked.add(name)
        return self.answer(name)

    def answer(self, name: str) -> Any:
        """A part that is watched, without noting that it was asked for."""
        if name not in _DERIVED:
            return super().__getattribute__(name)
        # What the part is derived from was not asked for.
        plain = Context.__new__(Context)
        plain.__dict__.update(self.__dict__)
        return getattr(plain, name)
