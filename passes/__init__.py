"""The passes: one transformation a file, named as the step in a recipe."""
