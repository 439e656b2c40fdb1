"""Comparing syntax trees without their places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from vggc.diagnostics.source import Span
from vggc.grammar.syntax import Recipe, Syntax


def _bare(node: Any) -> Any:
    if isinstance(node, Recipe):
        return _bare(node.statements)
    if isinstance(node, Syntax):
        values = [getattr(node, each.name) for each in fields(node)]
        return type(node).__name__, *(_bare(each) for each in values if not isinstance(each, Span))
    if isinstance(node, tuple):
        return tuple(_bare(each) for each in node)
    return node


def _nodes(node: Any) -> list[Syntax]:
    if isinstance(node, Recipe):
        return _nodes(node.statements)
    if isinstance(node, tuple):
        return [inner for each in node for inner in _nodes(each)]
    if isinstance(node, Syntax):
        return [node, *(inner for each in fields(node) for inner in _nodes(getattr(node, each.name)))]
    return []


@pytest.fixture(scope="session")
def bare() -> Callable[[Any], Any]:
    """A tree as nested tuples of type names and values, all spans left out."""
    return _bare


@pytest.fixture(scope="session")
def nodes() -> Callable[[Any], list[Syntax]]:
    """Every node of a tree, outer ones first."""
    return _nodes
