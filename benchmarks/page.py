"""What the sections of docs/results.md are made of."""

from __future__ import annotations


def folded(summary: str, *parts: str) -> str:
    """Parts that are shown on a click; Markdown inside HTML needs the empty lines."""
    return "\n\n".join((f"<details>\n<summary>{summary}</summary>", *parts, "</details>"))
