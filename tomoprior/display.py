"""Objects in a terminal and in a notebook: one line of facts, and a small table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def to_html(title: str, rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Return a table in HTML; all texts are escaped."""
    head = "<tr>" + "".join(f"<th>{escape(name)}</th>" for name in header) + "</tr>" if header else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption>{head}{body}</table>"


def to_line(title: str, facts: Mapping[str, str]) -> str:
    """Return ``title(name value, name value)``."""
    return f"{title}({', '.join(f'{name} {value}'.strip() for name, value in facts.items())})"
