"""Tables for notebooks. What comes from a log, an id or a title, is text there and never markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(caption: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table as HTML, for `_repr_html_`.

    Args:
        caption: the line above it.
        head: names of the columns.
        rows: a value for each column; captions, names and values are escaped alike.
    """
    lines = [f"<table><caption>{escape(caption)}</caption>", f"<thead>{_row('th', head)}</thead><tbody>"]
    return "\n".join([*lines, *(_row("td", row) for row in rows), "</tbody></table>"])


def _row(cell: str, values: Iterable[object]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(str(value))}</{cell}>" for value in values) + "</tr>"
