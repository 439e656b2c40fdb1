"""The canonical layout, by example; test_round_trip.py holds it against any recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from vggc.diagnostics import CompileError
from vggc.diagnostics.source import Source
from vggc.grammar.format import format

ROOT = Path(__file__).parents[2]


def formatted(text: str) -> str:
    once = format(Source("recipe.opt", text))
    assert format(Source("recipe.opt", once)) == once
    return once


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("param  keep:ratio=50%in 10%..90%", "param keep: ratio = 50% in 10%..90%"),
        ("data  calib=npz( 'a' )".replace("'", '"'), 'data calib = npz("a")'),
        ('use   "a.opt"   #  why', 'use "a.opt"  #  why'),
        ("simplify ( )", "simplify"),
        ("target onnx()", "target onnx"),
        ('f( a= 3 ,b = [1 , 2,] , c={"a":1, b :2 ,},)', 'f(a=3, b=[1, 2], c={"a": 1, b: 2})'),
        ("f(a=-  3, b=2-  -3, c=a-3)", "f(a=-3, b=2 - -3, c=a - 3)"),
        ("f(1 .. 8 .. 32, -1..-0.5)", "f(1..8..32, -1..-0.5)"),
        ("f(not(a)and(b)or not c)", "f(not (a) and (b) or not c)"),
        ("f((a+b)*c/d-e)", "f((a + b) * c / d - e)"),
        (
            "require   accuracy( test )>=original-1% else   rollback",
            "require accuracy(test) >= original - 1% else rollback",
        ),
        ("require latency()<=30%of original", "require latency() <= 30% of original"),
        ("define f(){ a }", "define f {\n    a\n}"),
        ("define f( a,b, ){ a }", "define f(a, b) {\n    a\n}"),
        ("repeat{a}", "repeat {\n    a\n}"),
        ("when(a){b}\n\n\nelse{c}", "when (a) {\n    b\n} else {\n    c\n}"),
        ("a\n\n\n\nb", "a\n\nb"),
        ("\n\na\r\nb\r\n\r\n", "a\nb"),
        ("repeat {\n\n  a\n\n\n  b\n\n}", "repeat {\n    a\n\n    b\n}"),
    ],
)
def test_statements(text: str, layout: str) -> None:
    assert formatted(text) == layout + "\n"


def test_wide_calls_are_broken() -> None:
    text = 'prune_channels(macs=50%, data=calib, except=["stem.*", "classifier.*", "head"], align=8, importance=obs)'
    assert (
        formatted(text)
        == """\
prune_channels(
    macs=50%,
    data=calib,
    except=["stem.*", "classifier.*", "head"],
    align=8,
    importance=obs,
)
"""
    )


def test_the_widest_bracket_breaks_first() -> None:
    names = ", ".join(f"a{index:02}" for index in range(25))
    expected = f"require f(\n    {names},\n) >= g(b) * 2\n"
    assert formatted(f"require f({names}) >= g(b) * 2") == expected.replace(", ", ",\n    ")


def test_calls_that_fit_are_joined() -> None:
    assert formatted("f(\n    a,\n    b=[\n        1,\n        2,\n    ],\n)\n") == "f(a, b=[1, 2])\n"


def test_comments_stay_where_they_belong() -> None:
    text = """\
# the recipe
repeat {   # loop
  # first
  f(  # call
    a, # one
    # two
    b = 3 # three
    # rest
  ) # after
  # end
} # done
when a { b } # yes
# or
else { # no
c }
# last"""
    assert (
        formatted(text)
        == """\
# the recipe
repeat {  # loop
    # first
    f(
        # call
        a,  # one
        # two
        b=3,  # three
        # rest
    )  # after
    # end
}  # done
when a {
    b
} else {
    # yes
    # or
    # no
    c
}
# last
"""
    )


def test_rules() -> None:
    text = """\
rule clip { Clip ( Relu(x),lo , hi )
  where lo>=0=>Clip(x,lo,hi) }
rule bn tolerance = 1e-5 {
  BatchNormalization(conv :Conv( x,w,b ? ),_,rest ...,epsilon = eps,mode="a") , conv.0
  where rank(x)==4 and not is_scalar( w ) and shape( x )[ 1 ]==8 and dtype(x) == "float32" and readers(w) == 1
  let k=-x/sqrt( eps ),  j = b??0
  =>Add|x
}
""".replace("=>Add|x", "=> c: Conv(x,_,k * j,group=2).1 like conv, conv.0")
    assert (
        formatted(text)
        == """\
rule clip {
    Clip(Relu(x), lo, hi) where lo >= 0
    => Clip(x, lo, hi)
}
rule bn tolerance=1e-5 {
    BatchNormalization(conv: Conv(x, w, b?), _, rest..., epsilon=eps, mode="a"), conv.0
    where rank(x) == 4
      and not is_scalar(w)
      and shape(x)[1] == 8
      and dtype(x) == "float32"
      and readers(w) == 1
    let k = -x / sqrt(eps), j = b ?? 0
    => c: Conv(x, _, k * j, group=2).1 like conv, conv.0
}
"""
    )


def test_comments_in_rules() -> None:
    text = """\
rule a { # head
  # first
  Relu(x), # one
  Relu(y)
  # ask
  where a # why
  # make
  let k = 1, # k
      # j
      j = 2
  => x, # left
     y # right
  # end
}
"""
    assert (
        formatted(text)
        == """\
rule a {
    # head
    # first
    Relu(x),  # one
    Relu(y)
    # ask
    where a  # why
    # make
    let k = 1,  # k
        # j
        j = 2
    => x,  # left
       y  # right
    # end
}
"""
    )


def test_wrong_recipe_is_refused() -> None:
    with pytest.raises(CompileError, match="never closed"):
        format(Source("recipe.opt", "simplify(\n"))


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.opt")), ids=lambda path: path.name)
def test_shipped_recipes_can_be_formatted(path: Path) -> None:
    assert formatted(path.read_text(encoding="utf-8"))
