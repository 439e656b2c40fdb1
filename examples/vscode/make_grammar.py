"""Write the TextMate grammar of the extension, from the words of the recipe language."""

from __future__ import annotations

import json
from pathlib import Path

from vggc.grammar.highlighting import textmate_grammar

FILE = Path(__file__).parent / "vggc.tmLanguage.json"

if __name__ == "__main__":
    FILE.write_text(json.dumps(textmate_grammar(), indent=2) + "\n", encoding="utf-8")
    print(f"wrote {FILE.name}")
