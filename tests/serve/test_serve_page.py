"""The page at /: its own rules, its pure parts under node, and all of it in a real browser against the running service.

The browser needs Debian's `chromium`, `node`, and `playwright-core`: `npm ci` in tests/serve/browser, or NODE_PATH.
With SIFTREC_SHOTS=FOLDER it leaves screenshots there.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import siftrec
from serve.running import running
from siftrec import config
from siftrec.report import palette
from siftrec.run import run

STATIC = Path(siftrec.__file__).parent / "serve" / "static"
BROWSER = Path(__file__).with_name("browser")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NODE = shutil.which("node")
TOKEN = "a-token-of-the-tests"
LIGHT, DARK = "rgb(250, 249, 246)", "rgb(17, 21, 27)"
HOSTILE = {
    "<img src=x onerror=alert(1)>": "<img src=x onerror=alert('title')>",
    "rtl,&=#%": "\u202eמלחמת הכוכבים</li><script>alert(2)</script>",
    "long" + "x" * 240: "a title without an end " * 13,
    "🎬👩‍👩‍👧‍👦": "🍿 emoji & 'quotes' \"too\" \x07\u2066",
    "\"'><svg onload=alert(3)>": None,
    "../../etc/passwd": "Z̸̢̛͓̲͔̹̈́̀a̴̛̩͖l̷͓g̷̨̰͍ò̵̺",
}


def source(pattern: str = "*") -> str:
    return "\n".join(file.read_text("utf-8") for file in sorted(STATIC.glob(pattern)))


def test_nothing_of_the_page_can_make_text_into_markup_or_leave_the_service() -> None:
    """One `innerHTML`, and a title of somebody's catalog runs in everybody's browser."""
    risky = r"innerHTML|outerHTML|insertAdjacentHTML|DOMParser|srcdoc|eval\(|new Function|setTimeout\(\s*[\"'`]"
    assert not re.search(risky, source("*.js"))
    html = source("*.html")
    assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:|<script(?![^>]*src=)", html)
    links = re.findall(r'(?:src|href|action)="([^"]*)"', html)
    assert all(link.startswith(("/static/", "#")) for link in links), links
    assert all((STATIC / link.removeprefix("/static/")).is_file() for link in links if link.startswith("/"))
    assert set(re.findall(r"https?://[^\s\"'`]*", source())) <= {"http://www.w3.org/2000/svg"}


def test_its_colours_are_those_of_the_reports_whose_contrast_is_tested() -> None:
    light, dark = re.split(r"@media \(prefers-color-scheme: dark\)", (STATIC / "style.css").read_text("utf-8"))[:2]
    for block, wanted in ((light, palette.LIGHT), (dark, palette.DARK)):
        found = dict(re.findall(r"--([\w-]+): (#\w+);", block))
        assert found == wanted
    assert not re.search(r"#[0-9a-f]{3,8}\b(?!;)", re.sub(r"--[\w-]+: #\w+;", "", light + dark))


def node(code: str, given: Any) -> Any:
    """What a JavaScript expression over `given` and the page's modules comes to."""
    if NODE is None:
        pytest.skip("needs node")
    whole = {
        name: base64.b64encode((STATIC / f"{name}.js").read_bytes()).decode() for name in ("address", "change", "view")
    }
    imports = "".join(
        f'const {name} = await import("data:text/javascript;base64,{text}");\n' for name, text in whole.items()
    )
    read = 'import { readFileSync } from "node:fs";\nconst given = JSON.parse(readFileSync(0, "utf-8"));\n'
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", f"{read}{imports}console.log(JSON.stringify({code}));"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=4, phases=(Phase.explicit, Phase.generate))  # each example starts node
@given(
    st.lists(st.tuples(st.lists(TEXT | st.sampled_from(sorted(HOSTILE)), max_size=5), st.integers(1, 100)), min_size=60)
)
def test_an_address_gives_back_every_history(states: list[tuple[list[str], int]]) -> None:
    """An id with a comma, `&` or `%` must not come back as two, and no other part must be taken for one."""
    read = node("given.map(([ids, k]) => address.parse(address.format(ids, k)))", states)
    assert [(each["history"], each["k"]) for each in read] == [(ids, k) for ids, k in states]
    assert all(each["token"] is None and each["unread"] == [] for each in read)


def test_what_of_an_address_cannot_be_read_is_told() -> None:
    hashes = ["#history=a,%E0%A4%A,b&k=0&x=1", "#k=101", "#token=a%2Cb,c&history=d", "", "#search"]
    one, two, three, four, five = node("given.map(address.parse)", hashes)
    assert (one["history"], one["k"], one["unread"]) == (["a", "b"], 10, ["history", "k=0", "x=1"])
    assert two["unread"] == ["k=101"]
    assert (three["token"], three["history"], three["unread"]) == ("a,b,c", ["d"], [])
    assert (four["history"], four["unread"]) == ([], [])
    assert five["unread"] == ["search"]


def test_a_change_tells_moves_new_and_gone() -> None:
    before = [{"item": item, "rank": rank} for rank, item in enumerate("abcd", 1)]
    after = [{"item": item, "rank": rank} for rank, item in enumerate("caxe", 1)]
    told = node(
        "(() => { const { moves, gone } = change.compare(given.before, given.after, ['d']);"
        "return [[...moves], gone.map((each) => each.item), change.summary({ moves, gone })]; })()",
        {"before": before, "after": after},
    )
    assert told == [[["c", 2], ["a", -1], ["x", None], ["e", None]], ["b"], "2 new, 2 moved, 1 gone"]


def test_text_is_shown_on_one_line_without_control_of_direction_and_shares_are_not_rounded_away() -> None:
    shown = node(
        "given.map((text) => view.plain(text, 20))", ["a\n\tb\x07c", "\u202eabc\u2066", "x" * 300, "👩‍👩‍👧" * 9, " "]
    )
    assert shown[:3] == ["a b\ufffdc", "\ufffdabc\ufffd", "x" * 20 + "…"]
    assert shown[3].endswith("…")
    assert shown[4] == "(empty)"
    assert node("given.map(view.percent)", [0, 0.0004, 0.042, 0.31, 0.9999, 1]) == [
        text.replace(" %", "\u00a0%") for text in ("0 %", "< 0.1 %", "4.2 %", "31 %", "> 99 %", "100 %")
    ]


def playwright() -> dict[str, str] | None:
    """The environment in which node finds playwright-core; None where it does not."""
    found = {
        **os.environ,
        "NODE_PATH": os.pathsep.join(filter(None, [str(BROWSER / "node_modules"), os.environ.get("NODE_PATH")])),
    }
    if (
        not NODE
        or subprocess.run(
            [NODE, "-e", "require('playwright-core')"], env=found, capture_output=True, check=False
        ).returncode
    ):
        return None
    return found


def hostile_run(folder: Path) -> Path:
    """Demure with a detector, trained for an epoch on a log of two tastes whose items have hostile ids and titles."""
    rng = np.random.default_rng(8)
    items = [*HOSTILE, *(f"f{i:02d}" for i in range(34))]
    titles = [*HOSTILE.values(), *(f"Film {i}" for i in range(34))]
    tastes = [(u, u % 2 if rng.random() < 0.85 else rng.integers(2), t) for u in range(240) for t in range(8)]
    rows = [(f"u{u}", items[20 * taste + rng.integers(20)], t) for u, taste, t in tastes]
    log = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    log.unique(["user", "item"], keep="first", maintain_order=True).write_parquet(folder / "log.parquet")
    pl.DataFrame({"item": items, "title": titles}).drop_nulls().write_parquet(folder / "titles.parquet")
    centre = np.repeat(np.eye(2, 6), 20, axis=0)
    for name, step, absent in (("text", 40, 5), ("image", 4, 3)):
        vectors = (3 * centre + rng.standard_normal((40, 6))).astype(np.float32)
        kept = pl.Series([i % step != absent for i in range(40)])
        pl.DataFrame({"item": items, "vector": vectors}).filter(kept).write_parquet(folder / f"{name}.parquet")
    (folder / "exp.toml").write_text(
        '[data]\npath = "log.parquet"\ntitles = "titles.parquet"\n'
        '[modality.text]\npath = "text.parquet"\n[modality.image]\npath = "image.parquet"\n'
        '[method]\nuse = "siftrec:Demure"\n[method.base]\nuse = "siftrec:CCL4Rec"\ndim = 8\nlength = 8\n'
        '[method.base.denoise]\npooling = true\n[method.base.denoise.detector]\nuse = "siftrec:Likelihood"\n'
        "folds = 2\ndim = 8\nepochs = 1\nsteps = 100\nlearning_rate = 0.03\n"
        "[train]\nepochs = 1\nbatch_size = 64\n[evaluate]\ncutoffs = [5]\n"
    )
    run(config.load(folder / "exp.toml"), folder / "run")
    return folder / "run"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """URL of `siftrec serve` on the hostile run, as its own process, asking for a token."""
    with running(hostile_run(tmp_path), env={"SIFTREC_TOKEN": TOKEN}) as process:
        yield process.url


@pytest.mark.slow
def test_in_a_browser(service: str) -> None:
    """What a person does on the page, by mouse and by keyboard, against the real service."""
    environment = playwright()
    if environment is None or CHROMIUM is None:
        pytest.skip("needs chromium, node and playwright-core: npm ci in tests/serve/browser")
    asked = {"base": service, "token": TOKEN, "ids": list(HOSTILE), "shots": os.environ.get("SIFTREC_SHOTS")}
    done = subprocess.run(
        [str(NODE), str(BROWSER / "drive.js"), CHROMIUM],
        input=json.dumps(asked),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    heard = told.pop("heard")
    assert (heard["dialogs"], heard["messages"]) == ([], [])
    assert {re.match(r"\w+://[^/]*", url)[0] for url in heard["requests"]} == {service}  # type: ignore[index]
    for check in (
        token_is_asked_for,
        text_is_inert,
        keys_suffice,
        address_is_the_state,
        removal_shows,
        failures_are_told,
    ):
        check(told)
    for screen in told["fitsEveryScreen"]:
        ground = DARK if screen["colorScheme"] == "dark" else LIGHT
        assert (screen["overflow"], screen["ground"], screen["small"]) == (0, ground, 0), screen


def token_is_asked_for(told: Any) -> None:
    asked, taken = told["asksForTheToken"], told["takesTheTokenFromTheAddress"]
    assert asked["problem"].startswith("The service asks for a token.")
    assert (asked["hidden"], asked["left"]) == (True, [])
    assert taken == {"hash": "#history=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&k=3", "count": 3}


def text_is_inert(told: Any) -> None:
    inert = told["isInert"]
    policy = dict(part.strip().split(" ", 1) for part in inert["policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"], policy["connect-src"]) == ("'self'",) * 3
    assert (inert["active"], len(inert["past"])) == (0, len(HOSTILE))
    assert inert["past"][0] == "<img src=x onerror=alert('title')>\n<img src=x onerror=alert(1)>"
    assert all(re.search(r"noise|Cannot be judged", mark) for mark in inert["marks"])
    assert "absent" in inert["marks"][3]
    assert (inert["bars"], inert["drawn"]) == (2 * len(HOSTILE), 2 * len(HOSTILE) - 2)
    assert "Demure" in inert["model"]
    assert "40 items" in inert["model"]


def keys_suffice(told: Any) -> None:
    keys = told["worksByKeyboard"]
    assert (keys["skip"], keys["search"], keys["found"], keys["stayed"]) == ("skip", "search", "found:0", "found:0")
    assert keys["stops"] == 2, "Tab must not lead through twenty rows"
    assert [name.split("\n")[0] for name in keys["added"]] == ["<img src=x onerror=alert('title')>", "Film 33"]
    assert (keys["swapped"], keys["followed"]) == (keys["added"][::-1], "later:1")
    assert keys["outline"] >= 2
    assert (keys["inside"], keys["back"]) == (True, "similar:0")
    assert (keys["neighbour"], keys["end"], keys["left"]) == ("remove:0", "history-title", [])


def address_is_the_state(told: Any) -> None:
    again = told["isReproducedByItsAddress"]
    past, recommended, past_again, recommended_again = again["told"]
    assert (len(past), len(recommended)) == (2, 7)
    assert (past_again, recommended_again) == (past, recommended)
    assert again["unread"] == "Of the address this could not be read: history, k=ten, other=1"


def removal_shows(told: Any) -> None:
    removed, overtaken = told["showsWhatRemovingDoes"], told["dropsWhatIsOvertaken"]
    assert (len(removed["before"]), removed["rows"]) == (10, 3)
    assert removed["after"] != removed["before"]
    assert removed["undone"] == removed["before"]
    fresh = len(set(removed["after"]) - set(removed["before"]))
    assert removed["moves"].count("new") == fresh
    assert removed["change"].startswith("Removed 🍿 emoji")
    assert f"{fresh} new, " in removed["live"]
    assert overtaken["soon"] == overtaken["late"] == overtaken["alone"]
    assert overtaken["rows"] == 2


def failures_are_told(told: Any) -> None:
    said = told["saysWhatIsWrong"]
    assert "1 id is not in the catalog" in said["unknown"]
    assert said["skipped"][-1] == "Not in the catalog; skipped."
    assert (said["rows"], said["empty"]) == (3, "There is nothing left to recommend.")
