"""Any tree, written out in any spacing, is read back as it was, and formatting it changes nothing but the spacing."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vggc.diagnostics.source import Source
from vggc.grammar.format import format
from vggc.grammar.keywords import KEYWORDS
from vggc.grammar.parser import parse, parse_value
from vggc.grammar.syntax import Syntax
from vggc.grammar.tree import UNITS

# A thing as it is written, in pieces that may have white space between them, and as the test's bare tree.
Pieces = tuple[str, ...]
Written = tuple[Pieces, Any]

WORDS = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
NAMES = WORDS.filter(lambda word: word not in {*KEYWORDS, "original", "_"})
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@st.composite
def numbers(draw: st.DrawFn) -> Written:
    value: int | float = draw(st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9).filter(lambda each: each != 0))
    unit = draw(st.sampled_from(("", *UNITS)))
    digits = repr(abs(value)) + unit
    return (("-", digits) if value < 0 else (digits,)), ("Number", value, unit)


def strings() -> st.SearchStrategy[Written]:
    def write(text: str) -> Written:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return (f'"{escaped}"',), ("String", text)

    return TEXTS.map(write)


def joined(items: list[Written], opening: str, closing: str) -> Pieces:
    pieces: Pieces = (opening,)
    for index, (written, _) in enumerate(items):
        pieces += ((",",) if index else ()) + written
    return (*pieces, closing)


@st.composite
def calls(draw: st.DrawFn, inner: st.SearchStrategy[Written]) -> Written:
    name = draw(NAMES)
    arguments = []
    for written, tree in draw(st.lists(inner, max_size=3)):
        option = draw(st.none() | WORDS)
        if option is None and tree[0] == "Comparison":
            continue  # `a == b` as a positional argument is an error: it stands for `a=b` too often
        before = () if option is None else (option, "=")
        arguments.append(((*before, *written), ("Argument", option and ("Word", option), tree)))
    return (name, *joined(arguments, "(", ")")), ("Call", name, tuple(tree for _, tree in arguments))


def containers(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    @st.composite
    def sequence(draw: st.DrawFn) -> Written:
        items = draw(st.lists(inner, max_size=3))
        return joined(items, "[", "]"), ("Sequence", tuple(tree for _, tree in items))

    @st.composite
    def mapping(draw: st.DrawFn) -> Written:
        entries = []
        for written, tree in draw(st.lists(inner, max_size=3)):
            key, key_tree = draw(strings() | WORDS.map(lambda word: ((word,), ("Word", word))))
            entries.append(((*key, ":", *written), (key_tree, tree)))
        return joined(entries, "{", "}"), ("Mapping", tuple(tree for _, tree in entries))

    @st.composite
    def operation(draw: st.DrawFn) -> Written:
        kind = draw(st.sampled_from(("Binary", "Comparison", "Logical", "Interval")))
        written = [(("(", *pieces, ")"), tree) for pieces, tree in draw(st.lists(inner, min_size=2, max_size=3))]
        if kind == "Logical":
            sign = draw(st.sampled_from(("and", "or")))
            pieces = tuple(piece for each, _ in written for piece in (sign, *each))[1:]
            return pieces, ("Logical", sign, tuple(tree for _, tree in written))
        if kind == "Interval":
            pieces = tuple(piece for each, _ in written for piece in ("..", *each))[1:]
            return pieces, ("IntervalLiteral", tuple(tree for _, tree in written))
        signs = ("+", "-", "*", "/", "of") if kind == "Binary" else ("==", "!=", "<", "<=", ">", ">=")
        sign = draw(st.sampled_from(signs))
        (left, left_tree), (right, right_tree) = written[:2]
        return (*left, sign, *right), (kind, sign, left_tree, right_tree)

    return sequence() | mapping() | operation() | calls(inner)


VALUES = st.recursive(
    numbers()
    | strings()
    | st.sampled_from(((("true",), ("Bool", True)), (("false",), ("Bool", False)), (("Conv",), ("Word", "Conv"))))
    | NAMES.map(lambda name: ((name,), ("Word", name))),
    containers,
    max_leaves=12,
)
SPACE = st.sampled_from((" ", "  ", "\t", " \n", "\r\n  ", ' # note, with ( and "\n'))


def spaced(draw: st.DrawFn, pieces: Pieces, space: st.SearchStrategy[str]) -> str:
    """The pieces with white space between them, in this draw none between some that need none."""
    text = pieces[0]
    for before, after in pairwise(pieces):
        must = (before[-1].isalnum() or before[-1] in "_%") and (after[0].isalnum() or after[0] in '_".')
        text += (draw(space) if must or draw(st.booleans()) else "") + after
    return text


def comments(text: str) -> list[str]:
    """The comments of a recipe, sorted: formatting may move one to the line above."""
    return sorted(each.strip() for each in re.findall(r'"(?:[^"\\\n]|\\.)*"|#[^\n]*', text) if each[0] == "#")


@given(st.data(), VALUES)
@settings(max_examples=40)
def test_values(bare: Callable[[Any], Any], data: st.DataObject, written: Written) -> None:
    pieces, tree = written

    @st.composite
    def text(draw: st.DrawFn) -> str:
        return spaced(draw, pieces, SPACE)

    assert bare(parse_value(Source("--set", data.draw(text())))) == tree


@st.composite
def statements(draw: st.DrawFn, depth: int = 2) -> Written:
    """A statement whose pieces are lines."""
    blank = st.just(" ")
    kinds = ["step", "target", "require", *(["repeat", "when"] if depth else [])]
    kind = draw(st.sampled_from(kinds))
    if kind in ("step", "target"):
        pieces, tree = draw(calls(VALUES))
        head = () if kind == "step" else ("target",)
        return (spaced(draw, (*head, *pieces), blank),), (f"{kind.capitalize()}Statement", tree)
    if kind == "require":
        (left, left_tree), (right, right_tree) = draw(st.tuples(VALUES, VALUES))
        sign, action = draw(st.sampled_from((">=", "<", "=="))), draw(st.sampled_from(("fail", "rollback", "warn")))
        line = spaced(draw, ("require", "(", *left, ")", sign, "(", *right, ")", "else", action), blank)
        return (line,), ("RequireStatement", ("Comparison", sign, left_tree, right_tree), action)
    inner, body = blocks(draw, depth)
    if kind == "repeat":
        return ("repeat {", *inner, "}"), ("RepeatStatement", body)
    pieces, condition = draw(calls(VALUES))
    head = spaced(draw, ("when", *pieces, "{"), blank)
    lines, otherwise = blocks(draw, depth) if draw(st.booleans()) else ((), ())
    return (head, *inner, *(("} else {", *lines) if lines else ()), "}"), ("WhenStatement", condition, body, otherwise)


def blocks(draw: st.DrawFn, depth: int) -> tuple[Pieces, tuple[Any, ...]]:
    written = draw(st.lists(statements(depth - 1), min_size=1, max_size=2))
    return tuple(line for lines, _ in written for line in lines), tuple(tree for _, tree in written)


@st.composite
def recipes(draw: st.DrawFn) -> tuple[str, Any]:
    written = draw(st.lists(statements() | rules(), min_size=1, max_size=3))
    line_end = draw(st.sampled_from(("\n", "\r\n", " # note {\n", "\n\n  ", "\n# alone\n\n\n")))
    lines = [line for statement, _ in written for line in statement]
    return line_end.join(lines) + line_end, tuple(tree for _, tree in written)


# --- rules -------------------------------------------------------------------------------------------------

OPERATORS = {"Conv": ("Operator", "", "Conv"), "com.microsoft.Gelu": ("Operator", "com.microsoft", "Gelu")}


ATTRIBUTES = WORDS.filter(lambda word: word != "_")


def word(name: str) -> Any:
    return "Word", name


@st.composite
def labels(draw: st.DrawFn) -> tuple[Pieces, Any]:
    name = draw(st.none() | NAMES)
    return ((), None) if name is None else ((name, ":"), word(name))


@st.composite
def outputs(draw: st.DrawFn) -> tuple[Pieces, int]:
    index = draw(st.none() | st.integers(0, 9))
    return ((), 0) if index is None else ((f".{index}",), index)


@st.composite
def plain_numbers(draw: st.DrawFn) -> Written:
    value = draw(st.integers(-999, 999) | st.floats(-10, 10).filter(lambda each: each != 0))
    return (("-",) if value < 0 else ()) + (repr(abs(value)),), ("Number", value, "")


@st.composite
def leaves(draw: st.DrawFn) -> Written:
    name = draw(NAMES)
    choices: list[Written] = [
        ((name,), ("Capture", name, False)),
        ((name, "?"), ("Capture", name, True)),
        (("_",), ("Wildcard", False)),
        (("_", "?"), ("Wildcard", True)),
        ((f"{name}.1",), ("OutputOf", word(name), 1)),
    ]
    number, tree = draw(plain_numbers())
    return draw(st.sampled_from([*choices, (number, ("ConstantPattern", tree))]))


@st.composite
def nodes_of(draw: st.DrawFn, inner: st.SearchStrategy[Written]) -> Written:
    (label, label_tree), (output, index) = draw(st.tuples(labels(), outputs()))
    operators = draw(st.lists(st.sampled_from(sorted(OPERATORS)), min_size=1, max_size=2))
    inputs = draw(st.lists(inner, max_size=3))
    if draw(st.booleans()):
        rest = draw(NAMES)
        inputs.append(((rest, "..."), ("Rest", rest)))
    attributes = []
    for name in draw(st.lists(ATTRIBUTES, max_size=2)):
        number, number_tree = draw(plain_numbers())
        values = [((name,), ("Capture", name, False)), (number, number_tree)]
        values.append((("[", *number, ",", '"a"', "]"), ("Literals", (number_tree, ("String", "a")))))
        value, tree = draw(st.sampled_from([each for each in values if name not in KEYWORDS or each is not values[0]]))
        attributes.append(((name, "=", *value), ("AttributeMatch", word(name), tree)))
    alternatives = tuple(piece for each in operators for piece in ("|", each))[1:]
    pieces = (*label, *alternatives, *joined([*inputs, *attributes], "(", ")"), *output)
    trees = (tuple(OPERATORS[each] for each in operators), tuple(tree for _, tree in inputs))
    return pieces, ("NodePattern", label_tree, *trees, tuple(tree for _, tree in attributes), index)


PATTERNS = st.recursive(leaves(), nodes_of, max_leaves=5)


def terms_of(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    @st.composite
    def operation(draw: st.DrawFn) -> Written:
        (left, left_tree), (right, right_tree) = draw(st.tuples(inner, inner))
        both = (("(", *left, ")"), ("(", *right, ")"))
        kinds = {
            "+": "BinaryTerm",
            "*": "BinaryTerm",
            "<=": "ComparisonTerm",
            "??": "DefaultTerm",
            "and": "LogicalTerm",
            "or": "LogicalTerm",
        }
        sign = draw(st.sampled_from(sorted(kinds)))
        pieces = (*both[0], sign, *both[1])
        if sign == "??":
            return pieces, ("DefaultTerm", (left_tree, right_tree))
        if kinds[sign] == "LogicalTerm":
            return pieces, ("LogicalTerm", sign, (left_tree, right_tree))
        return pieces, (kinds[sign], sign, left_tree, right_tree)

    @st.composite
    def call(draw: st.DrawFn) -> Written:
        (argument, tree), name = draw(st.tuples(inner, NAMES))
        option = draw(st.none() | ATTRIBUTES)
        before = () if option is None else (option, "=")
        arguments = (("TermArgument", option and word(option), tree),)
        return (name, "(", *before, *argument, ")"), ("CallTerm", name, arguments)

    def wrapped(written: Written) -> list[Written]:
        pieces, tree = written
        group = ("(", *pieces, ")")
        return [
            (("-", *group), ("NegativeTerm", tree)),
            (("not", *group), ("LogicalTerm", "not", (tree,))),
            (("[", *pieces, "]"), ("ListTerm", (tree,))),
            ((*group, "[", *pieces, "]"), ("ElementTerm", tree, tree)),
        ]

    return operation() | call() | inner.map(wrapped).flatmap(st.sampled_from)


TERMS = st.recursive(
    strings()
    | st.integers(0, 99).map(lambda value: ((str(value),), ("Number", value, "")))
    | NAMES.map(lambda name: ((name,), word(name)))
    | NAMES.map(lambda name: ((f"{name}.2",), ("OutputOf", word(name), 2))),
    terms_of,
    max_leaves=4,
)


@st.composite
def constructs(draw: st.DrawFn, depth: int = 1) -> Written:
    (label, label_tree), (output, index) = draw(st.tuples(labels(), outputs()))
    operator = draw(st.sampled_from(sorted(OPERATORS)))
    inner = TERMS | st.just((("_",), ("OmittedInput",)))
    inputs = draw(st.lists(inner | constructs(depth - 1) if depth else inner, max_size=2))
    attributes = [
        ((name, "=", *pieces), ("TermArgument", word(name), tree))
        for name, (pieces, tree) in draw(st.lists(st.tuples(ATTRIBUTES, TERMS), max_size=1))
    ]
    like = draw(st.none() | NAMES)
    pieces = (*label, operator, *joined([*inputs, *attributes], "(", ")"), *output)
    trees = (tuple(tree for _, tree in inputs), tuple(tree for _, tree in attributes))
    ending = () if like is None else ("like", like)
    return (*pieces, *ending), ("Construct", label_tree, OPERATORS[operator], *trees, index, like and word(like))


@st.composite
def rules(draw: st.DrawFn) -> Written:
    """A rule over any number of lines, as the one line of a statement."""
    name = draw(NAMES)
    roots = draw(st.lists(nodes_of(PATTERNS), min_size=1, max_size=2))
    results = draw(st.lists(constructs() | TERMS, min_size=len(roots), max_size=len(roots)))
    guard, guard_tree = draw(TERMS) if draw(st.booleans()) else ((), None)
    lets = draw(st.lists(st.tuples(NAMES, TERMS), max_size=2))
    tolerance = draw(st.booleans())
    pieces: Pieces = ("rule", name, *(("tolerance", "=", "1e-5") if tolerance else ()))
    pieces += joined(roots, "{", "")[:-1] + (("where", *guard) if guard else ())
    for let, (written, _) in lets:
        pieces += ("let", let, "=", *written)
    pieces += ("=>", *joined(results, "", "")[1:-1], "}")
    head = pieces.index("{")
    text = spaced(draw, pieces[:head], st.just(" ")) + " " + spaced(draw, pieces[head:], SPACE)
    trees = (tuple(tree for _, tree in roots), guard_tree)
    let_trees = tuple(("Let", word(let), tree) for let, (_, tree) in lets)
    number = ("Number", 1e-5, "") if tolerance else None
    return (text,), ("RuleStatement", word(name), number, *trees, let_trees, tuple(tree for _, tree in results))


# --- tests -------------------------------------------------------------------------------------------------


@given(recipes())
@settings(max_examples=60)
def test_recipes(bare: Callable[[Any], Any], nodes: Callable[[Any], list[Syntax]], written: tuple[str, Any]) -> None:
    text, tree = written
    recipe = parse(Source("recipe.opt", text))
    assert bare(recipe) == tree
    for node in nodes(recipe):
        assert node.span.text == node.span.text.strip()
        assert node.span.text

    formatted = format(Source("recipe.opt", text))
    assert bare(parse(Source("recipe.opt", formatted))) == tree
    assert format(Source("recipe.opt", formatted)) == formatted
    assert comments(formatted) == comments(text)
    assert all(line == line.rstrip() for line in formatted.split("\n"))
    assert "\n\n\n" not in formatted
