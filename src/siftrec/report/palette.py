"""The colours of the pages, by role. Text roles reach a contrast of 4.5 on both grounds, drawn roles 3; tests compute it."""

from __future__ import annotations

LIGHT = {
    "ground": "#faf9f6",
    "card": "#ffffff",
    "ink": "#1b2230",
    "muted": "#555f70",
    "line": "#d8d9dc",
    "axis": "#868c97",
    "noise": "#b23a17",
    "genuine": "#1c6a86",
    "good": "#17693f",
    "wait": "#7d5200",
    "focus": "#0b57d0",
    "part-0": "#1c6a86",
    "part-1": "#a56a00",
    "part-2": "#7a4ea8",
    "part-3": "#2f7d4f",
    "part-4": "#b0417f",
    "part-5": "#5c6470",
}
DARK = {
    "ground": "#11151b",
    "card": "#1a2028",
    "ink": "#e9ecf1",
    "muted": "#a9b3c1",
    "line": "#333c48",
    "axis": "#7d8896",
    "noise": "#ff9a72",
    "genuine": "#71c5dc",
    "good": "#74d69f",
    "wait": "#f1c166",
    "focus": "#9cc4ff",
    "part-0": "#71c5dc",
    "part-1": "#f1c166",
    "part-2": "#c3a2f0",
    "part-3": "#74d69f",
    "part-4": "#f09ac4",
    "part-5": "#b4bdc9",
}
TEXT = ("ink", "muted", "noise", "genuine", "good", "wait")
PARTS = 6
DRAWN = ("axis", "noise", "genuine", "good", "wait", "focus", *(f"part-{k}" for k in range(PARTS)))
GROUNDS = ("ground", "card")


def variables(palette: dict[str, str]) -> str:
    """The declarations of a palette's CSS variables."""
    return " ".join(f"--{role}: {colour};" for role, colour in palette.items())
