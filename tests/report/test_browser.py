"""Both pages in a real browser: nothing requested, nothing said on the console, no sideways scrolling, keys work.

Needs Debian's `chromium`, `node`, and `playwright-core` where node finds it (`npm i playwright-core`, NODE_PATH).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from report import sample
from report.test_page import HOSTILE, rebuilt
from siftrec.report import audit_page, noise_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NODE = shutil.which("node")
LIGHT, DARK = "rgb(250, 249, 246)", "rgb(17, 21, 27)"


def missing() -> str:
    if not CHROMIUM or not NODE:
        return "needs chromium and node"
    found = subprocess.run([NODE, "-e", "require('playwright-core')"], capture_output=True, check=False)
    return "needs playwright-core on NODE_PATH" if found.returncode else ""


@pytest.mark.slow
def test_in_a_browser(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    texts = iter(HOSTILE * 10_000)
    hostile = rebuilt(sample.audit_view(), lambda _: next(texts))
    modal = rebuilt(sample.noise_view(), lambda _: next(texts))
    pages = {
        "noise": noise_page(sample.noise_view()),
        "audit": audit_page(sample.audit_view()),
        "hostile": audit_page(hostile),
        "modal": noise_page(modal),
    }
    for name, page in pages.items():
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    paths = [str(tmp_path / f"{name}.html") for name in pages]
    script = str(Path(__file__).with_name("browse.js"))
    done = subprocess.run([str(NODE), script, str(CHROMIUM), *paths], capture_output=True, text=True, check=True)
    visits = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(visits) == 4 * len(pages)
    for visit in visits:
        where = (visit["path"], visit["width"], visit["colorScheme"])
        assert visit["requests"] == [f"file://{visit['path']}"], where
        assert visit["messages"] == [], where
        assert (visit["first"], visit["seen"]) == ("skip", True), where
        assert visit["automatic"] == (DARK if visit["colorScheme"] == "dark" else LIGHT), where
        assert (visit["light"], visit["dark"]) == (LIGHT, DARK), where
        assert (visit["overflow"], visit["active"], visit["blank"]) == (0, 0, 0), where
