"""Options: the schema a function's signature makes, and recipe values converted by it."""

from vggc.options.convert import LARGEST, at_use, convert
from vggc.options.given import UNITS, BareWord, Content, Given, Origin, Reference, describe, spell
from vggc.options.schema import Option, Schema, defined_at, option_docs, schema
from vggc.options.type_text import wanted

__all__ = [
    "LARGEST",
    "UNITS",
    "BareWord",
    "Content",
    "Given",
    "Option",
    "Origin",
    "Reference",
    "Schema",
    "at_use",
    "convert",
    "defined_at",
    "describe",
    "option_docs",
    "schema",
    "spell",
    "wanted",
]
