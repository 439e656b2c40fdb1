"""The words and tokens of the recipe language, for what colours recipes: editors (TextMate) and Pygments."""

from __future__ import annotations

from typing import Any, NamedTuple

from vggc.grammar.tree import UNITS

DECLARING = ("param", "data", "use", "rule", "define")
ACTING = ("repeat", "when", "else", "require", "minimize", "maximize", "target")
JOINING = ("in", "of", "and", "or", "not", "where", "let", "like")
CONSTANTS = ("true", "false")
ACTIONS = ("fail", "rollback", "warn", "original")
"""Words that are names for the grammar, and have a meaning in a `require`."""

FILE_PATTERN = "*.opt"
SCOPE = "source.vggc"


class Token(NamedTuple):
    """A kind of token: its regular expression, which Python and Oniguruma read alike, and its scope in TextMate."""

    name: str
    pattern: str
    scope: str


def _words(words: tuple[str, ...]) -> str:
    return rf"\b(?:{'|'.join(words)})\b"


TOKENS = (
    Token("comment", r"#[^\n]*", "comment.line.number-sign.vggc"),
    Token("string", r'"(?:[^"\\\n]|\\[^\n])*"?', "string.quoted.double.vggc"),
    Token("option", r"\b[A-Za-z_]\w*(?=\s*=(?![=>]))", "variable.parameter.vggc"),
    Token("declaring", _words(DECLARING), "keyword.declaration.vggc"),
    Token("acting", _words(ACTING), "keyword.control.vggc"),
    Token("joining", _words(JOINING), "keyword.operator.word.vggc"),
    Token("constant", _words(CONSTANTS), "constant.language.vggc"),
    Token("action", _words(ACTIONS), "support.constant.vggc"),
    Token(
        "number",
        rf"\b[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?:{'|'.join(sorted(UNITS, key=len, reverse=True))}\b|%)?",
        "constant.numeric.vggc",
    ),
    Token("operator", r"\b(?:[a-z]\w*\.)*[A-Z]\w*", "entity.name.type.operator.vggc"),
    Token("call", r"\b[a-z_]\w*(?=\s*\()", "entity.name.function.vggc"),
    Token("name", r"\b[a-z_]\w*", "variable.other.vggc"),
    Token("sign", r"=>|==|!=|<=|>=|\.\.\.?|\?\?|[-+*/=<>?|]", "keyword.operator.vggc"),
    Token("bracket", r"[()\[\]{},:.]", "punctuation.vggc"),
)
"""In the order in which they are tried. An option may have the name of a keyword, so that it comes first."""


def textmate_grammar() -> dict[str, Any]:
    """The TextMate grammar of recipes, as Visual Studio Code and other editors read it."""
    # A declared name is not an option, though `=` follows it.
    declared = {
        "match": rf"({_words(('param', 'data'))})\s+([a-z_]\w*)",
        "captures": {"1": {"name": "keyword.declaration.vggc"}, "2": {"name": "variable.other.constant.vggc"}},
    }
    tokens = [{"name": each.scope, "match": each.pattern} for each in TOKENS]
    return {
        "name": "vggc",
        "scopeName": SCOPE,
        "fileTypes": ["opt"],
        "patterns": [*tokens[:2], declared, *tokens[2:]],
    }
