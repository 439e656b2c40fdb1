"""A session with `vggc lsp` as an editor has it: a client of the protocol over the pipes of a process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from vggc.cli.main import run

pygls_client = pytest.importorskip("pygls.lsp.client", reason="the extra `lsp` brings pygls")
from lsprotocol import types  # noqa: E402

WRONG = "# ≤ 🎯\nfold_batchnorm\nprune_channels(macs=50%,   align=8)\ntarget onnx\n"
TIDY = "# ≤ 🎯\nfold_batch_norm\nprune_channels(macs=50%, align=8)\ntarget onnx\n"


class Editor:
    """A client with one open recipe."""

    def __init__(self, client: Any, uri: str) -> None:
        self.client, self.uri, self.version = client, uri, 1
        self.published: asyncio.Queue[Any] = asyncio.Queue()

        @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def publish(given: types.PublishDiagnosticsParams) -> None:
            self.published.put_nowait(given)

    async def opens(self, text: str) -> Any:
        item = types.TextDocumentItem(self.uri, "vggc", self.version, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return await self.messages()

    async def changes(self, text: str) -> Any:
        self.version += 1
        document = types.VersionedTextDocumentIdentifier(self.version, self.uri)
        change = types.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
        return await self.messages()

    async def messages(self) -> Any:
        published = await asyncio.wait_for(self.published.get(), 60)
        assert (published.uri, published.version) == (self.uri, self.version)
        return published.diagnostics

    def at(self, line: int, character: int) -> dict[str, Any]:
        return {
            "text_document": types.TextDocumentIdentifier(self.uri),
            "position": types.Position(line, character),
        }


async def session(folder: Path, work: Callable[[Editor], Awaitable[None]], **options: Any) -> int:
    """Start the server, work with it, and end it as editors do; returns its exit status."""
    client = pygls_client.LanguageClient("test", "1")
    await client.start_io(sys.executable, "-m", "vggc", "lsp")
    given = types.InitializeParams(
        capabilities=types.ClientCapabilities(), root_uri=folder.as_uri(), initialization_options=options
    )
    answer = await client.initialize_async(given)
    assert answer.server_info.name == "vggc"
    assert answer.capabilities.document_formatting_provider
    client.initialized(types.InitializedParams())
    await work(Editor(client, (folder / "my.opt").as_uri()))
    await client.shutdown_async(None)
    client.exit(None)
    process = client._server
    await asyncio.wait_for(process.wait(), 30)
    await client.stop()
    return int(process.returncode)


def test_a_session(tmp_path: Path) -> None:
    async def work(editor: Editor) -> None:
        (message,) = await editor.opens(WRONG)
        assert (message.code, message.source, message.severity) == ("VGGC121", "vggc", types.DiagnosticSeverity.Error)
        assert "help: a similar name exists: `fold_batch_norm`" in message.message
        assert (message.range.start.line, message.range.end.character) == (1, 14)

        given = types.CodeActionParams(
            types.TextDocumentIdentifier(editor.uri), message.range, types.CodeActionContext([message])
        )
        (action,) = await editor.client.text_document_code_action_async(given)
        (edit,) = action.edit.changes[editor.uri]
        assert action.title == "Write `fold_batch_norm`"
        assert (edit.new_text, edit.range) == ("fold_batch_norm", message.range)

        right = WRONG.replace("fold_batchnorm", "fold_batch_norm")
        assert not await editor.changes(right)

        shown = await editor.client.text_document_hover_async(types.HoverParams(**editor.at(1, 3)))
        assert "fold_batch_norm(" in shown.contents.value
        items = await editor.client.text_document_completion_async(types.CompletionParams(**editor.at(2, 15)))
        assert {"macs=", "align="} <= {each.label for each in items}
        options = types.FormattingOptions(4, True)
        (edit,) = await editor.client.text_document_formatting_async(
            types.DocumentFormattingParams(types.TextDocumentIdentifier(editor.uri), options)
        )
        assert edit.new_text == TIDY

        text = "# 🎯\nrule two { Relu(Relu(x)) => Relu(x) }\ntwo\ntarget onnx\n"
        assert not await editor.changes(text)
        place = await editor.client.text_document_definition_async(types.DefinitionParams(**editor.at(2, 1)))
        assert (place.uri, place.range.start) == (editor.uri, types.Position(1, 5))
        assert await editor.client.text_document_hover_async(types.HoverParams(**editor.at(0, 1))) is None

    assert asyncio.run(session(tmp_path, work)) == 0


def test_columns_count_utf16(tmp_path: Path) -> None:
    async def work(editor: Editor) -> None:
        (message,) = await editor.opens('data d = npz("🎯🎯.npz", lable="y")\nrequire accuracy(d) >= 1%\ntarget onnx\n')
        assert message.code == "VGGC131"
        # Each of the two signs counts twice.
        assert (message.range.start.character, message.range.end.character) == (25, 30)

    assert asyncio.run(session(tmp_path, work)) == 0


def test_pygls_is_an_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "vggc.lsp.server", raising=False)
    monkeypatch.setitem(sys.modules, "lsprotocol", None)
    assert run(["lsp"]) == 1
    assert (
        "needs the Python package `lsprotocol`, which is not installed [VGGC801]\nhelp: pip install pygls\n"
        in capsys.readouterr().err
    )
