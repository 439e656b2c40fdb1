"""The words of the recipe language that cannot be names."""

from __future__ import annotations

STATEMENT_KEYWORDS = (
    *("param", "data", "use", "rule", "define", "repeat", "when", "else", "require"),
    *("minimize", "maximize", "target"),
)
KEYWORDS = frozenset(
    (*STATEMENT_KEYWORDS, "in", "of", "and", "or", "not", "true", "false", "where", "let", "like"),
)
