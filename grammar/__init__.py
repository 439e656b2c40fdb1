"""The recipe language: its grammar, its syntax tree and its syntax errors."""
