"""Leaving something as it is, with a reason."""

from __future__ import annotations


class Declined(Exception):
    """Raised where a place that looks right is left alone; the reason goes into the report."""
