"""Recipes for Pygments, which colours the blocks of documentation tools and notebooks: ` ```opt `."""

from __future__ import annotations

from typing import ClassVar

from pygments.lexer import RegexLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

from vggc.grammar.highlighting import FILE_PATTERN, TOKENS

_TYPES = {
    "comment": Comment.Single,
    "string": String.Double,
    "option": Name.Attribute,
    "declaring": Keyword.Declaration,
    "acting": Keyword,
    "joining": Operator.Word,
    "constant": Keyword.Constant,
    "action": Name.Builtin.Pseudo,
    "number": Number,
    "operator": Name.Class,
    "call": Name.Function,
    "name": Name,
    "sign": Operator,
    "bracket": Punctuation,
}


class RecipeLexer(RegexLexer):  # type: ignore[misc]
    """The lexer that the entry point `pygments.lexers` names."""

    name = "vggc recipe"
    aliases: ClassVar = ["opt", "vggc"]
    filenames: ClassVar = [FILE_PATTERN]
    tokens: ClassVar = {"root": [(r"\s+", Whitespace), *((each.pattern, _TYPES[each.name]) for each in TOKENS)]}
