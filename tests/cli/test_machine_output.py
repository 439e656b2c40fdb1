"""`--json` and `--sarif`: what programs read, compared with the published schemas."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx.parser
import pytest

from vggc.cli.schema_command import COMMANDS, schema_of

jsonschema = pytest.importorskip("jsonschema", reason="the extra `dev` brings jsonschema")
sarif_pydantic = pytest.importorskip("sarif_pydantic", reason="the extra `dev` brings sarif-pydantic")

Write = Callable[[str], str]
WRONG = "fold_batchnorm\nprune_channels(macs=50%, alig=8)\ntarget onnx\n"


def document(ran: Any, command: str) -> Any:
    """The document that a command printed, which its schema describes."""
    content = json.loads(ran.out)
    jsonschema.validate(content, schema_of(command))
    assert content["status"] == ran.status
    assert content["command"] == command
    return content


def sarif(ran: Any) -> Any:
    """The run of the log that a command printed."""
    content = json.loads(ran.out)
    sarif_pydantic.Sarif.model_validate(content)
    assert content["version"] == "2.1.0"
    (run,) = content["runs"]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_the_schemas_are_schemas(vggc: Any, command: str) -> None:
    schema = json.loads(vggc("schema", command).out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == schema_of(command)
    empty = {"format": 1, "vggc": "1", "command": command, "status": 1, "diagnostics": [], "result": {}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(empty, schema)


def test_check(vggc: Any, recipe: Write) -> None:
    content = document(vggc("check", recipe("simplify"), "model.onnx", "--json"), "check")
    assert content["result"] == {"recipe": "recipe.opt", "model": "model.onnx", "steps": 1, "targets": 1}
    assert content["diagnostics"] == []


def test_check_says_everything_that_is_wrong(vggc: Any, recipe: Write) -> None:
    ran = vggc("check", recipe(WRONG), "--json")
    content = document(ran, "check")
    assert (ran.status, ran.err, content["result"]) == (1, "", None)
    first, second = content["diagnostics"]
    assert (first["code"], first["help"]) == ("VGGC121", "a similar name exists: `fold_batch_norm`")
    assert second["place"] == {"path": "recipe.opt", "line": 2, "column": 26, "end_line": 2, "end_column": 30}


def test_check_of_rules(vggc: Any) -> None:
    Path("rules.opt").write_text("rule two { Relu(Relu(x)) => Relu(x) }\n")
    content = document(vggc("check", "--rules", "rules.opt", "--json"), "check")
    assert content["result"]["proved"] == content["result"]["rules"] == 1


def test_compile_and_plan(vggc: Any, recipe: Write) -> None:
    ran = vggc(recipe("fold_batch_norm"), "model.onnx", "-o", "out", "--json")
    content = document(ran, "compile")
    assert content["result"]["folder"] == "out"
    assert content["result"]["report"] == json.loads(Path("out/report.json").read_text())
    content = document(vggc("plan", "recipe.opt", "model.onnx", "--json"), "plan")
    assert [each["name"] for each in content["result"]["report"]["steps"]] == ["fold_batch_norm"]


def test_a_compile_that_fails(vggc: Any, recipe: Write) -> None:
    ran = vggc(recipe("simplify\nrequire size <= 1KB"), "model.onnx", "-o", "out", "--json")
    content = document(ran, "compile")
    assert ran.status == 3
    assert [each["code"] for each in content["diagnostics"]] == ["VGGC505"]
    assert content["result"]["report"]["failure"]["kind"] == "requirement"


def test_pages(vggc: Any) -> None:
    passes = document(vggc("passes", "--json"), "passes")["result"]["passes"]
    (one,) = document(vggc("passes", "prune_channels", "--json"), "passes")["result"]["passes"]
    assert one in passes
    assert [each["name"] for each in one["options"] if each["required"]] == []
    assert ("data", "none") in [(each["name"], each["default"]) for each in one["options"]]
    (target,) = document(vggc("targets", "onnx", "--json"), "targets")["result"]["targets"]
    assert target["name"] == "onnx"
    recipes = document(vggc("recipes", "--json"), "recipes")["result"]["recipes"]
    assert all("text" not in each for each in recipes)
    (one,) = document(vggc("recipes", "prune.opt", "--json"), "recipes")["result"]["recipes"]
    assert one["text"] == vggc("recipes", "prune.opt").out
    assert document(vggc("passes", "no", "--json"), "passes")["diagnostics"][0]["code"] == "VGGC121"


def test_inspect(vggc: Any) -> None:
    result = document(vggc("inspect", "model.onnx", "--groups", "--json"), "inspect")["result"]
    assert result["inputs"][0]["shape"][1:] == [3, 8, 8]
    assert sum(each["nodes"] for each in result["operators"]) == result["nodes"]
    assert any(each["prunable"] for each in result["groups"])


def test_lint(vggc: Any) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx has no wheel for this platform")
    text = "g (float[3] x) => (float[3] y, int64[1,n] z) { [mine] y = my.Foo(x) [nz] z = NonZero(x) }"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17, "my": 1]> {text}')
    Path("odd.onnx").write_bytes(model.SerializeToString())
    ran = vggc("lint", "odd.onnx", "--json")
    content = document(ran, "lint")
    assert (ran.status, content["result"]["nodes"], len(content["diagnostics"])) == (1, 2, 2)
    assert {"name": "nz", "operator": "NonZero"} in [each["nodes"][0] for each in content["result"]["causes"]]
    findings = document(vggc("inspect", "odd.onnx", "--target", "tensorrt_rtx", "--json"), "inspect")
    assert len(findings["result"]["diagnosis"]["findings"]) == 2
    run = sarif(vggc("lint", "odd.onnx", "--sarif"))
    assert [each["locations"][0]["logicalLocations"][0]["name"] for each in run["results"]] == ["nz", "mine"]
    assert {each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in run["results"]} == {
        "odd.onnx"
    }


def test_sarif_of_a_recipe(vggc: Any, recipe: Write) -> None:
    ran = vggc("check", recipe(WRONG), "--sarif")
    assert (ran.status, ran.err) == (1, "")
    run = sarif(ran)
    assert [each["ruleId"] for each in run["results"]] == ["VGGC121", "VGGC131"]
    place = run["results"][1]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "recipe.opt"}
    assert place["region"] == {"startLine": 2, "startColumn": 26, "endLine": 2, "endColumn": 30}
    assert sarif(vggc("check", recipe("simplify"), "--sarif"))["results"] == []


def test_a_path_is_a_uri(vggc: Any) -> None:
    Path("my recipe.opt").write_text("no\n")
    run = sarif(vggc("check", "my recipe.opt", "--sarif"))
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "my%20recipe.opt"


def test_only_one_of_the_two(vggc: Any, recipe: Write) -> None:
    ran = vggc("check", recipe("simplify"), "--json", "--sarif")
    assert ran.status == 2 and "exclude each other" in ran.err
