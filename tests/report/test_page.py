"""report.html without a browser: valid, self-contained, and nothing in it that a name could have smuggled in."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vggc.analysis.costs import costs
from vggc.cli.schema_command import report_schema
from vggc.graph import Graph
from vggc.quantization import mixed_precision
from vggc.report.picture import picture
from vggc.report.record import Report

Compile = Callable[..., Path]

SVG_NAMES = {
    "http://www.w3.org/1999/xhtml",
    "http://www.w3.org/1999/xlink",
    "http://www.w3.org/2000/svg",
    "http://www.w3.org/2000/xmlns/",
    "http://www.w3.org/XML/1998/namespace",
}
"""Names of XML vocabularies, which look like addresses and are none."""


def parsed(path: Path) -> Any:
    """The page as a browser understands it. Fails where the markup is not valid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        html5lib = pytest.importorskip("html5lib", reason="html5lib is not installed")
        parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
        return parser.parse(path.read_text(encoding="utf-8"))


def text(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def rows(document: Any, section: str) -> list[list[str]]:
    body = document.find(f".//section[@id='{section}']//tbody")
    return [[text(cell) for cell in row] for row in body]


def data(document: Any) -> Any:
    return json.loads(document.find(".//script[@id='data']").text)


def test_it_is_valid_and_complete_in_itself(page_file: Path) -> None:
    document = parsed(page_file)
    for element in document.iter():
        if not isinstance(element.tag, str):
            continue
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            assert element.get(name, "#").startswith(("#", "data:")), (element.tag, name)
    content = page_file.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"'`\s)<]+", content)) <= SVG_NAMES
    assert "@import" not in content and "url(" not in content.split("<style>")[1].split("</style>")[0]
    policy = document.find(".//meta[@http-equiv='Content-Security-Policy']").get("content")
    assert policy.startswith("default-src 'none'; ")


def test_each_line_of_the_recipe_has_its_effect(page_file: Path) -> None:
    found = {int(row[0]): row[2] for row in rows(parsed(page_file), "recipe")}
    assert found[1] == found[2] == ""
    assert re.match(r"prune_channels: \d+ changes, MACs -\d\d\.\d%, weights -\d\d\.\d%", found[5])
    assert re.match(r"fold_batch_norm: 8 changes, weights -", found[6])
    assert found[8].startswith("held ")
    assert re.fullmatch(r"held \d+, wanted <= 500", found[9])
    assert found[10].startswith("model.onnx ")


def test_it_says_what_report_json_says(page_file: Path) -> None:
    document = parsed(page_file)
    report = json.loads(page_file.with_name("report.json").read_text())
    steps = rows(document, "steps")
    assert [row[1] for row in steps] == ["model as read", *(step["name"] for step in report["steps"])]
    assert [int(row[6]) for row in steps[1:]] == [step["after"]["nodes"] for step in report["steps"]]
    widths = {row[0]: (int(row[2]), int(row[3])) for row in rows(document, "widths")}
    pruned = report["steps"][0]["channels"]
    assert {name: after for name, (_, after) in widths.items()} == {name: len(left) for name, left in pruned.items()}
    assert all(before > after for before, after in widths.values())
    errors = {row[0]: row[3] for row in rows(document, "sensitivity")}
    assert errors == {name: f"{error:.1e}" for name, error in report["steps"][2]["sensitivity"].items()}
    worst = max(report["steps"][2]["sensitivity"].values())
    assert data(document)["sensitivity"][0]["error"] == worst > 0
    (artifact,) = report["artifacts"]
    assert rows(document, "files")[0][3] == artifact["sha256"]
    drawn = data(document)
    assert [each["value"] for each in drawn["gates"]] == [report["requirements"][0]["value"]]
    assert [len(each["op"]) for each in drawn["graphs"]] == [
        report["steps"][0]["before"]["nodes"],
        report["steps"][-1]["after"]["nodes"],
    ]


def test_it_can_be_read_without_a_picture(page_file: Path) -> None:
    document = parsed(page_file)
    assert document.get("lang") == "en"
    assert document.find("body")[0].get("href") == "#main"
    levels = [int(element.tag[1]) for element in document.iter() if element.tag in ("h1", "h2", "h3")]
    assert levels[0] == 1 and set(levels[1:]) == {2}
    for table in document.iter("table"):
        assert text(table.find("caption"))
        assert all(head.get("scope") == "col" for head in table.find("thead").iter("th"))
    for figure in document.iter("figure"):
        assert text(figure.find("figcaption"))
    ids = [element.get("id") for element in document.iter() if isinstance(element.tag, str) and element.get("id")]
    assert len(ids) == len(set(ids))
    for element in document.iter():
        if isinstance(element.tag, str) and element.get("aria-labelledby"):
            assert element.get("aria-labelledby") in ids
    assert {link.get("href")[1:] for link in document.find(".//nav")} <= set(ids)


def test_names_are_never_markup(compiled: Compile, networks: ModuleType) -> None:
    graph: Graph = networks.batch_norms_unfolded()
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"
    for index, node in enumerate(graph.nodes):
        node.name = f"{evil}{index}"
    page = compiled(graph, f"# {evil}\nsimplify\nfold_batch_norm\ntarget onnx\n")
    document = parsed(page)
    assert document.find(".//img") is None
    assert len(list(document.iter("script"))) == 10
    assert data(document)["graphs"][0]["name"][0] == f"{evil}0"


def test_a_recipe_without_steps_has_a_report(compiled: Compile, networks: ModuleType) -> None:
    document = parsed(compiled(networks.plain_with_global_pooling(), "target onnx\n"))
    assert "The recipe has no steps." in text(document.find(".//section[@id='steps']"))
    assert data(document)["costs"] == []


def test_5000_nodes_stay_below_5_mb(large_file: Path) -> None:
    assert large_file.stat().st_size < 5_000_000
    assert all(len(each["op"]) >= 5000 for each in data(parsed(large_file))["graphs"])


def test_a_picture_tells_who_reads_whom(net: Any) -> None:
    made = net()
    x = made.conv("x", 3, 4)
    graph = made.graph(made.op("Add", made.op("Relu", x), x))
    conv, relu, add = picture(graph, costs(graph)).nodes
    assert [conv.inputs, relu.inputs, add.inputs] == [(), (0,), (0, 1)]
    assert (conv.op, conv.width, conv.precision, conv.macs, conv.bytes) == ("Conv", 4, "float32", 6912, 448)
    assert (relu.macs, add.shape) == (0, "[batch, 4, 8, 8]")


def test_a_quantized_node_computes_in_the_type_of_its_inputs(net: Any) -> None:
    import numpy as np

    made = net(opset=21)
    scale, zero = made.constant(np.array(0.1)), made.constant(np.array(0, np.int8))
    pair = made.op("DequantizeLinear", made.op("QuantizeLinear", "x", scale, zero), scale, zero)
    graph = made.graph(made.conv(pair, 3, 4))
    _, _, conv = picture(graph, costs(graph)).nodes
    assert conv.precision == "int8"


def test_precisions_are_a_table(compiled: Compile, networks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = iter([0.5, 1.0])
    monkeypatch.setattr(mixed_precision, "agreement", lambda *_: next(reached))
    recipe = 'data samples = npz("samples.npz")\nquantize(int8, data=samples, agreement=90%)\ntarget onnx\n'
    path = compiled(networks.plain_with_global_pooling(), recipe)
    (step,) = json.loads(path.with_name("report.json").read_text())["steps"]
    found = rows(parsed(path), "precisions")
    assert [(row[0], row[3]) for row in found] == [(each["node"], each["precision"]) for each in step["precisions"]]
    assert [each["precision"] for each in step["precisions"]][:2] == ["float", "int8"]


def test_report_json_follows_its_schema(page_file: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the extra `dev` brings jsonschema")
    schema = report_schema()
    report = json.loads(page_file.with_name("report.json").read_text())
    jsonschema.validate(report, schema)
    assert set(schema["required"]) == {each.name for each in fields(Report)} == set(report)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**report, "latency": {"before": 1}}, schema)


def test_the_facts_of_a_compile(page_file: Path) -> None:
    section = parsed(page_file).find(".//section[@id='facts']")
    assert [text(each) for each in section.iter("dt")] == ["date", "machine", "versions"]
    assert "onnxruntime" in text(section)
    # The samples are images of three channels.
    assert len(list(section.iter("img"))) == 12
