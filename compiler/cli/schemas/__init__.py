"""JSON schemas: of the envelope that a command prints with --json, and of the result of each command."""
