// Starts `vggc lsp` and connects it with the editor.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

function activate() {
  const settings = workspace.getConfiguration("vggc");
  const [command, ...args] = settings.get("command");
  client = new LanguageClient(
    "vggc",
    "vggc",
    { command, args },
    { documentSelector: [{ language: "vggc" }], initializationOptions: { model: settings.get("model") } },
  );
  return client.start();
}

function deactivate() {
  return client ? client.stop() : undefined;
}

module.exports = { activate, deactivate };
