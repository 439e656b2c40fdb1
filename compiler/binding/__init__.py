"""Binding: from a syntax tree to a pipeline of typed, resolved steps."""

from vggc.binding.bind import bind, bind_file, bind_text, bind_with_measure, text_tree
from vggc.binding.loader_text import bind_loader

__all__ = ["bind", "bind_file", "bind_loader", "bind_text", "bind_with_measure", "text_tree"]
