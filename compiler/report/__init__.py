"""The record of a compile, as JSON and as a page for a browser."""
