"""Rules are proved on graphs made for them; wrong ones are planted here, and each is caught."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vggc.cli.main import run
from vggc.diagnostics import Code
from vggc.pattern.instances import proof_messages, prove_rule

RIGHT = """
rule relu_before_clip { Clip(Relu(x), lo, hi) where lo >= 0 => Clip(x, lo, hi) }
rule batch_norm {
    BatchNormalization(conv: Conv(x, w, b?), scale, shift, mean, var, epsilon=eps, training_mode=0)
    let k = scale / sqrt(var + eps)
    => Conv(x, w * along(k, axis=0, like=w), ((b ?? 0) - mean) * k + shift) like conv
}
rule merge_adds { Add(Add(x, a), b) => Add(x, a + b) }
rule merge_transposes { Transpose(Transpose(x, perm=p), perm=q) => Transpose(x, perm=take(p, q)) }
rule times_one { m: Mul(x, c) where all(c == 1) and shape(m) == shape(x) => x }
rule one_that_may_broadcast { Mul(x, 1) => x }
rule relu_twice { Relu(r: Relu(x)) => r }
rule squeeze_back { Unsqueeze(Squeeze(x, a), a) => x }
rule join_again { Concat(s: Split(x, _?, axis=k), s.1, axis=k) => x }
rule gemm { Add(MatMul(x, w), b) where rank(x) == 2 and rank(w) == 2 and rank(b) == 1 => Gemm(x, w, b) }
rule pool { ReduceMean(x, axes=[2, 3], keepdims=1) where opset < 18 and rank(x) == 4 => GlobalAveragePool(x) }
rule two_linear {
    MatMul(x, a), MatMul(x, b) where rank(a) == 2 and rank(b) == 2
    => s: Split(MatMul(x, concat(a, b, axis=1)), [shape(a)[1], shape(b)[1]], axis=-1), s.1
}
rule swish { Mul(x, Sigmoid(x)) where opset >= 24 => Swish(x) }
rule loose tolerance=1e-2 { Gelu(x, approximate="none") where opset >= 20 => Gelu(x, approximate="tanh") }
"""

WRONG = """
rule clip_without_its_condition { Clip(Relu(x), lo, hi) => Clip(x, lo, hi) }
rule sign_of_a_sum { Sub(Add(x, a), b) => Add(x, b - a) }
rule forgotten_epsilon {
    BatchNormalization(conv: Conv(x, w, b?), scale, shift, mean, var, training_mode=0)
    let k = scale / sqrt(var)
    => Conv(x, w * along(k, axis=0, like=w), ((b ?? 0) - mean) * k + shift) like conv
}
rule forgotten_attributes {
    BatchNormalization(Conv(x, w), scale, shift, mean, var, epsilon=eps, training_mode=0)
    let k = scale / sqrt(var + eps)
    => Conv(x, w * along(k, axis=0, like=w), shift - mean * k)
}
rule wrong_axis {
    Mul(c: ConvTranspose(x, w), k) where rank(k) == 3 and shape(k)[1] == 1 and shape(k)[2] == 1 and rank(x) == 4
    => ConvTranspose(x, w * reshape(k, [-1, 1, 1, 1])) like c
}
rule transposes_in_the_wrong_order { Transpose(Transpose(x, perm=p), perm=q) => Transpose(x, perm=take(q, p)) }
rule reshape_with_zeros { Reshape(Reshape(x, _), s) => Reshape(x, s) }
rule gemm_that_is_scaled { Add(MatMul(x, w), b) where rank(x) == 2 and rank(w) == 2 => Gemm(x, w, b, alpha=2) }
rule gemm_that_was_transposed { Gemm(x, w, b?, transB=1) => Gemm(x, transpose(w), b) }
rule split_of_the_other_axis { Concat(s: Split(x, _?, axis=k), s.1, axis=j) where rank(x) > 1 => x }
rule halves_swapped { Concat(s.1, s: Split(x, _?, axis=k), axis=k) => x }
rule pool_of_one_axis { ReduceMean(x, axes=[3], keepdims=1) where opset < 18 and rank(x) == 4 => GlobalAveragePool(x) }
rule pad_values_lost {
    c: Conv(Pad(x, pads, _, mode="constant"), w, auto_pad="NOTSET", pads=[0, 0, 0, 0])
    where min(list(pads)) >= 0 and slice(list(pads), 0, 2) == [0, 0] and slice(list(pads), 4, 6) == [0, 0]
    => Conv(x, w, pads=concat(slice(list(pads), 2, 4), slice(list(pads), 6, 8))) like c
}
rule softmax_axis { Log(Softmax(x, axis=_)) => LogSoftmax(x) }
rule tolerance_too_small tolerance=1e-6 { Gelu(x) where opset >= 20 => Mul(Sigmoid(Mul(x, 1.702)), x) }
"""


def names(text: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines() if line.startswith("rule ")]


@pytest.mark.parametrize("name", names(RIGHT))
def test_right_rules_hold(name: str, rules: Any) -> None:
    rule = next(each for each in rules(RIGHT) if each.name == name)
    proof = prove_rule(rule, enough=15)
    assert proof.counterexample is None, proof.counterexample
    assert proof.instances == 15
    assert proof.proved


@pytest.mark.parametrize("name", names(WRONG))
def test_wrong_rules_are_caught(name: str, rules: Any) -> None:
    rule = next(each for each in rules(WRONG) if each.name == name)
    proof = prove_rule(rule)
    assert proof.counterexample is not None
    assert proof.counterexample.message == f"rule `{name}` is wrong"
    assert proof.counterexample.code is Code.RULE_WRONG
    assert proof.counterexample.span == rule.name_span
    assert not proof.proved


def test_the_counter_example_can_be_read_back(rules: Any) -> None:
    import onnx.parser

    (rule,) = rules("rule r { Sub(Add(x, a), b) => Add(x, b - a) }")
    proof = prove_rule(rule)
    assert proof.counterexample is not None
    facts = dict(proof.counterexample.facts)
    before = onnx.parser.parse_graph(facts["counter-example"])
    after = onnx.parser.parse_graph(facts["becomes"])
    assert {"Add", "Sub"} <= {node.op_type for node in before.node}
    assert after.node[0].op_type == "Add"
    assert "relative error" in facts["difference"]


def test_the_proof_is_the_same_every_time(rules: Any) -> None:
    (rule,) = rules("rule r { Sub(Add(x, a), b) => Add(x, b - a) }")
    assert prove_rule(rule).counterexample == prove_rule(rule).counterexample
    assert prove_rule(rule, seed=1).counterexample != prove_rule(rule).counterexample


def test_a_rule_that_no_graph_was_made_for(rules: Any) -> None:
    (rule,) = rules('rule r { Relu(x) where dtype(x) == "int4" => Neg(x) }')
    proof = prove_rule(rule, trials=50)
    assert not proof.proved
    assert proof.counterexample is None
    (message,) = proof_messages([proof]).messages
    assert (message.severity, message.code) == ("warning", Code.RULE_UNTRIED)
    assert message.message == "rule `r` could not be tested: it rewrote none of the generated graphs"
    assert message.facts == (("note", "its condition does not hold (100 graphs)"),)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("right.opt").write_text("rule r { Relu(r: Relu(x)) => r }\n", encoding="utf-8")
    Path("wrong.opt").write_text("rule r { Relu(r: Relu(x)) => r }\nrule s { Neg(x) => Abs(x) }\n", encoding="utf-8")
    Path("none.opt").write_text("simplify\n", encoding="utf-8")
    assert run(["check", "--rules", "right.opt"]) == 0
    assert capsys.readouterr().out == "right.opt: 1 of 1 rules hold, on 40 graphs\n"
    assert run(["check", "--rules", "wrong.opt"]) == 1
    assert "error: rule `s` is wrong" in capsys.readouterr().err
    assert run(["check", "--rules", "none.opt"]) == 1
    assert "error: there is no rule in this file" in capsys.readouterr().err
    assert run(["check", "--rules", "right.opt", "model.onnx"]) == 2
