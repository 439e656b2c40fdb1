"""Binding: from a syntax tree to a pipeline of typed, resolved steps."""

from vggc.binding.bind import bind

__all__ = ["bind"]
