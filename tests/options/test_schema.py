"""Schemas of options, read from signatures and docstrings."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from vggc.data import Dataset
from vggc.diagnostics import CompileError
from vggc.graph import Graph
from vggc.options import option_docs, schema
from vggc.values import Names, Ratio, Within


def some_pass(
    graph: Graph,
    macs: Ratio,
    data: Dataset | None = None,
    *,
    align: Annotated[int, Within(1, 4096)] = 8,
    except_: Names = Names(),  # noqa: B008
) -> None:
    """Prune.

    Options:
        macs: what remains
            of the work.
        ``align``: channels stay a multiple of this.

        except: nodes to leave alone: quoted names.

    Returns: no option.
    """


def test_schema_skips_what_the_machine_fills() -> None:
    assert list(schema(some_pass).by_name) == ["macs", "data", "align", "except"]


def test_schema_spells_parameters_as_recipes_do() -> None:
    option = schema(some_pass).by_name["except"]
    assert (option.parameter, option.default, option.required) == ("except_", Names(), False)


def test_schema_tells_required_and_positional_options() -> None:
    found = schema(some_pass)
    assert [each.name for each in found.options if each.required] == ["macs"]
    assert [each.name for each in found.positional] == ["macs", "data"]


def test_schema_knows_what_the_docstring_says() -> None:
    assert {each.name: each.doc for each in schema(some_pass).options} == {
        "macs": "what remains of the work.",
        "data": "",
        "align": "channels stay a multiple of this.",
        "except": "nodes to leave alone: quoted names.",
    }


def test_no_options_section_documents_none() -> None:
    assert option_docs("Prune.\n\nmacs: what remains.") == {}


def untyped(graph: Graph, macs=0.5) -> None:  # type: ignore[no-untyped-def]
    """An option without a type."""


def starred(graph: Graph, *names: str) -> None:
    """Options without names."""


def positional_only(graph: Graph, macs: float, /) -> None:
    """An option that cannot be named."""


def object_typed(graph: Graph, table: dict[int, str]) -> None:
    """An option whose keys are no names."""


def missing_type(graph: Graph, macs: Share) -> None:  # type: ignore[name-defined]  # noqa: F821
    """An option of a type that is not there."""


def empty() -> None:
    """Nowhere to put the graph."""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (untyped, "its option `macs` has no type"),
        (starred, "a recipe cannot name its parameter `*names: 'str'`"),
        (positional_only, "a recipe cannot name its parameter `macs: 'float'`"),
        (object_typed, "recipes cannot write the type of its option `table`"),
        (missing_type, "its signature names `Share`, which its file does not define"),
        (empty, "the first parameter, which vggc fills, is missing"),
    ],
)
def test_signature_that_is_no_schema(function: Any, message: str) -> None:
    with pytest.raises(CompileError) as caught:
        schema(function)
    (found,) = caught.value.diagnostics
    assert found.message == f"`{function.__name__}` cannot be used in a recipe: {message}"
    assert found.facts == (("defined", f"{__file__}:{function.__code__.co_firstlineno}"),)
