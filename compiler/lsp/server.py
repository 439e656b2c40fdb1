"""The language server: the protocol's requests, answered by the other modules (LSP 3.17, by pygls)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path
from pygls.workspace import ServerTextPosition, ServerTextRange, TextDocument

from vggc import __version__
from vggc.diagnostics import Code, CompileError, Diagnostic, Span
from vggc.lsp.actions import fixes
from vggc.lsp.completion import Kind, complete
from vggc.lsp.hover import hover
from vggc.lsp.navigation import definition
from vggc.lsp.recipe_text import RecipeText

_PAUSE = 0.2
"""Seconds without a change after which messages are published."""

_KINDS: dict[Kind, types.CompletionItemKind] = {
    "keyword": types.CompletionItemKind.Keyword,
    "pass": types.CompletionItemKind.Function,
    "target": types.CompletionItemKind.Class,
    "loader": types.CompletionItemKind.Function,
    "measure": types.CompletionItemKind.Function,
    "option": types.CompletionItemKind.Property,
    "value": types.CompletionItemKind.EnumMember,
    "name": types.CompletionItemKind.Variable,
    "node": types.CompletionItemKind.Value,
    "file": types.CompletionItemKind.File,
}
_SEVERITIES = {"error": types.DiagnosticSeverity.Error, "warning": types.DiagnosticSeverity.Warning}


class RecipeServer(LanguageServer):
    """A server for recipes.

    Python files of a recipe run only with `python`: opening a recipe must not run code that came with it. The client's
    `initializationOptions` may name the `model` whose nodes are proposed.
    """

    def __init__(self, *, python: bool) -> None:
        super().__init__("vggc", __version__)
        self.python = python
        self.model: Path | None = None
        self._recipes: dict[str, RecipeText] = {}

    def recipe(self, uri: str) -> RecipeText:
        """The recipe of a document, whose answers are kept until its text changes."""
        text = self.workspace.get_text_document(uri).source.replace("\r\n", "\n")
        kept = self._recipes.get(uri)
        if kept is None or kept.text != text:
            kept = self._recipes[uri] = RecipeText(Path(to_fs_path(uri) or "recipe.opt"), text, self.python)
        return kept

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that are open in the editor."""
        paths = (to_fs_path(each.uri) for each in self.workspace.folders.values())
        return tuple(Path(each) for each in paths if each)

    def publish(self, uri: str) -> None:
        """Tell the client what is wrong with a recipe, and with the files that it uses, at the `use`."""
        recipe = self.recipe(uri)
        document = self.workspace.get_text_document(uri)
        found = [_diagnostic(document, recipe, each) for each in recipe.messages]
        self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, found, document.version))


def make_server(*, python: bool = False) -> RecipeServer:
    """The server with its features."""
    server = RecipeServer(python=python)

    @server.feature(types.INITIALIZE)
    def initialize(given: types.InitializeParams) -> None:
        options: Any = given.initialization_options
        model = options.get("model") if isinstance(options, dict) else getattr(options, "model", None)
        server.model = Path(model) if model else None

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(given: types.DidOpenTextDocumentParams) -> None:
        server.publish(given.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(given: types.DidChangeTextDocumentParams) -> None:
        # Binding a recipe with many rules takes half a second: it waits for a pause in typing.
        await asyncio.sleep(_PAUSE)
        document = server.workspace.text_documents.get(given.text_document.uri)
        if document is not None and document.version == given.text_document.version:
            server.publish(given.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(given: types.DidSaveTextDocumentParams) -> None:
        server.publish(given.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(given: types.DidCloseTextDocumentParams) -> None:
        uri = given.text_document.uri
        server._recipes.pop(uri, None)
        server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hovered(given: types.HoverParams) -> types.Hover | None:
        recipe, offset = _at(given)
        text = hover(recipe, offset, server.folders)
        return None if text is None else types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text))

    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["(", "=", ",", '"', " "])
    )
    def completed(given: types.CompletionParams) -> list[types.CompletionItem]:
        recipe, offset = _at(given)
        return [
            types.CompletionItem(each.text, kind=_KINDS[each.kind], detail=each.detail or None)
            for each in complete(recipe, offset, server.model)
        ]

    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def defined(given: types.DefinitionParams) -> types.Location | None:
        recipe, offset = _at(given)
        span = definition(recipe, offset)
        if span is None:
            return None
        uri = from_fs_path(str(Path(span.source.path).absolute())) or given.text_document.uri
        return types.Location(uri, _range(TextDocument(uri, span.source.text), span))

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def formatted(given: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
        from vggc.grammar.format import format

        recipe = server.recipe(given.text_document.uri)
        try:
            text = format(recipe.source)
        except CompileError:
            # The messages of the document say why.
            return None
        document = server.workspace.get_text_document(given.text_document.uri)
        return [types.TextEdit(_range(document, Span(recipe.source, 0, len(recipe.text))), text)]

    @server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
    )
    def actions(given: types.CodeActionParams) -> list[types.CodeAction]:
        uri = given.text_document.uri
        recipe, document = server.recipe(uri), server.workspace.get_text_document(uri)
        start, end = (document.offset_at_position(each) for each in (given.range.start, given.range.end))
        return [
            types.CodeAction(
                fix.title,
                kind=types.CodeActionKind.QuickFix,
                diagnostics=[_diagnostic(document, recipe, fix.diagnostic)],
                edit=types.WorkspaceEdit({uri: [types.TextEdit(_range(document, fix.span), fix.text)]}),
                is_preferred=True,
            )
            for fix in fixes(recipe, start, end)
        ]

    def _at(given: Any) -> tuple[RecipeText, int]:
        uri = given.text_document.uri
        return server.recipe(uri), server.workspace.get_text_document(uri).offset_at_position(given.position)

    return server


def _diagnostic(document: TextDocument, recipe: RecipeText, message: Diagnostic) -> types.Diagnostic:
    span = message.span
    here = span is not None and span.source.path == recipe.source.path
    text = "\n".join([message.message, *(f"{label}: {fact}" for label, fact in message.facts)])
    if span is not None and not here:
        text = f"{span.place}: {text}"
    if message.help:
        text += f"\nhelp: {message.help}"
    refused = message.code is Code.PYTHON_REFUSED
    return types.Diagnostic(
        _range(document, span)
        if span is not None and here
        else types.Range(types.Position(0, 0), types.Position(0, 0)),
        text,
        severity=types.DiagnosticSeverity.Information if refused else _SEVERITIES[message.severity],
        code=message.code.id,
        source="vggc",
    )


def _range(document: TextDocument, span: Span) -> types.Range:
    """A span in the units of the client's columns, most often UTF-16."""
    start, end = (span.source.position(offset) for offset in (span.start, span.end))
    places = (ServerTextPosition(line - 1, column - 1) for line, column in (start, end))
    return document.range_to_client_units(ServerTextRange(*places))
