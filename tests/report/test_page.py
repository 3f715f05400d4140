"""The pages as markup: nothing is loaded, log text stays text, what is shown was handed in, and nothing breaks on null."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import polars as pl
import pytest

from report import sample
from siftrec.data.sequences import Sequences
from siftrec.data.vocab import Vocab
from siftrec.report import audit_page, noise_page, words
from siftrec.report.data import Estimate, Verdict
from siftrec.report.summary import Names, log_view, summarise

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "</title></style><style>*{display:none}</style>",
    "\" onmouseover='alert(3)' x=\"",
    "{{ 7*7 }}{% raw %}&lt;b&gt;",
    "\u202egnp.exe\u2066\x00\x1b[31m",
    "\ud800 lone",
    "]]><svg/onload=alert(4)>",
    "👩🏽‍🚀 שלום " + "W" * 5000,
]


@dataclass
class Parsed(HTMLParser):
    """Elements with their attributes, and the text outside styles and drawings."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mismatched.append(tag)

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.text.append(data)

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def parse(page: str) -> Parsed:
    parsed = Parsed()
    parsed.feed(page)
    parsed.close()
    return parsed


def text_of(page: str) -> str:
    return " ".join("".join(parse(page).text).split())


PAGES: dict[str, Callable[[], str]] = {
    "noise": lambda: noise_page(sample.noise_view()),
    "audit": lambda: audit_page(sample.audit_view()),
    "bare": lambda: noise_page(replace(sample.noise_view(), detections=(), log=None)),
}


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    return PAGES[request.param]()


def test_the_page_loads_nothing(page: str) -> None:
    parsed = parse(page)
    assert not parsed.named("script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video")
    for tag, attributes in parsed.elements:
        assert not {"src", "srcset", "action", "style", "xlink:href", "data"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert (attributes.get("href") or "#").startswith("#"), tag
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    assert not re.search(r"url\(|@import|image-set", style)
    assert "//" not in page.replace("</", "")


def test_only_the_page_s_own_style_is_allowed(page: str) -> None:
    policy = next(m["content"] for m in parse(page).named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_markup_is_balanced_ids_are_unique_and_references_exist(page: str) -> None:
    parsed = parse(page)
    assert not parsed.mismatched
    assert not parsed.open
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name in ("aria-labelledby", "aria-describedby", "for"):
        assert {a[name] for _, a in parsed.elements if name in a} <= set(ids), name
    assert {(a["href"] or "")[1:] for a in parsed.named("a")} <= set(ids)


def test_headings_are_in_order_and_the_keyboard_reaches_everything(page: str) -> None:
    parsed = parse(page)
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert parsed.named("a")[0] == {"class": "skip", "href": "#content"}
    scrolling = [a for a in parsed.named("div") if a.get("class") == "scroll"]
    assert scrolling
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-labelledby"] for a in scrolling)
    for drawing in parsed.named("svg"):
        standing = drawing.get("role") == "img" and "aria-labelledby" in drawing and "aria-describedby" in drawing
        inner = set(drawing) == {"x", "overflow"}
        assert standing or inner or drawing.get("aria-hidden") == "true"


def rebuilt(value: Any, change: Callable[[str], str]) -> Any:
    """The same tree of dataclasses with every string changed, but for the verdict's answer."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple):
        return tuple(rebuilt(each, change) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        kept = {"answer"} if isinstance(value, Verdict) else set()
        return replace(value, **{name: rebuilt(getattr(value, name), change) for name in names if name not in kept})
    return value


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize(("draw", "view"), [(noise_page, sample.noise_view()), (audit_page, sample.audit_view())])
def test_text_of_the_log_never_becomes_markup(draw: Callable[[Any], str], view: Any, text: str) -> None:
    harmless, hostile = (draw(rebuilt(view, lambda _, t=each: t)) for each in ("harmless", text))
    assert parse(hostile).elements == parse(harmless).elements
    hostile.encode()
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", hostile)
    assert len(hostile) < len(harmless) * 4 + 2000
    shown = words.plain(text, 60).rstrip("…")
    assert shown in "".join(parse(hostile).text)


Path = tuple[int | str, ...]


def leaves(value: Any, path: Path = (), name: str = "") -> Iterator[tuple[str, Path]]:
    """(what it is, path) of every value that is not None in a tree of dataclasses and tuples."""
    if isinstance(value, tuple):
        for index, each in enumerate(value):
            row = dataclasses.is_dataclass(each) or isinstance(each, tuple)
            yield from leaves(each, (*path, index), name if row else f"{name}[{index}]")
    elif dataclasses.is_dataclass(value):
        for field_ in dataclasses.fields(value):
            inner = getattr(value, field_.name)
            within = name if isinstance(value, Estimate) else type(value).__name__
            yield from leaves(inner, (*path, field_.name), f"{within}.{field_.name}")
    elif value is not None:
        yield name, path


def changed(value: Any, path: Path) -> Any:
    if path:
        head, rest = path[0], path[1:]
        if isinstance(head, int):
            return (*value[:head], changed(value[head], rest), *value[head + 1 :])
        return replace(value, **{head: changed(getattr(value, head), rest)})
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return "leave" if value == "weight" else f"{value}~"
    return value + 1 if isinstance(value, int) else value * 0.8 + 0.013


def test_every_field_that_is_handed_in_is_shown() -> None:
    view = sample.audit_view()
    before = audit_page(view)
    where: dict[str, list[Path]] = {}
    for name, path in leaves(view):
        where.setdefault(name, []).append(path)
    assert len(where) > 60
    for name, paths in where.items():
        some = paths[:: max(1, len(paths) // 12)]
        assert any(audit_page(changed(view, path)) != before for path in some), name


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step] if isinstance(step, int) else getattr(value, step)
    return value


NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
PROSE = {
    "95",
    "30",
    "5",
    "1",
    "20",
    "40",
    "60",
    "80",
}  # 95 % intervals, "said with 30 %", ".5 is a coin", the colour key


def test_every_number_on_the_page_comes_from_the_input() -> None:
    view = sample.audit_view()
    total = view.summary.interactions
    values = [at(view, path) for _, path in leaves(view)]
    figures = [each for each in values if isinstance(each, (int, float)) and not isinstance(each, bool)]
    figures += [view.level.flagged / total, *(n / total for _, n in view.level.at_levels)]
    for proxy in view.verdict.proxies:
        figures += [end / proxy.without for _, path in leaves(proxy.difference) for end in [at(proxy.difference, path)]]
    allowed = set(PROSE)
    for figure in figures:
        for form in (words.percent, words.decimal, words.exactly, words.few):
            allowed.update(NUMBER.findall(form(figure)))
        allowed.update(NUMBER.findall(f"{figure:,}"))
    allowed.update(str(len(history.marks)) for history in view.summary.histories)
    for text in (each for each in values if isinstance(each, str)):
        allowed.update(NUMBER.findall(text))
    found = set(NUMBER.findall(" ".join(parse(audit_page(view)).text)))
    assert len(found) > 100
    assert found <= allowed, found - allowed


def test_nothing_flagged_is_said_in_words() -> None:
    view = sample.noise_view()
    none = replace(view, level=replace(view.level, flagged=0, upper=Estimate(0.3)))
    said = text_of(noise_page(none))
    assert "Nothing can be flagged at this level" in said
    assert "no interval" in said
    assert "Nothing can be flagged" not in text_of(noise_page(view))


@pytest.mark.parametrize(
    ("answer", "said"), [("weight", "Weight it."), ("leave", "leave it alone"), ("short", "Too short to tell")]
)
def test_each_verdict_has_its_words(answer: Any, said: str) -> None:
    view = sample.audit_view()
    text = text_of(audit_page(replace(view, verdict=replace(view.verdict, answer=answer, proxies=()))))
    assert said in text
    assert "No model could be compared" in text


def test_what_was_not_measured_is_called_so() -> None:
    view = sample.audit_view()
    unknown = replace(view.detections[0], auroc=Estimate(float("nan")), auprc=None, reliability=())
    text = text_of(audit_page(replace(view, detections=(unknown,))))
    assert "not measured" in text
    assert "nan" not in text.lower()
    assert "No noise was planted" in text_of(audit_page(replace(view, detections=())))


def test_a_proxy_at_zero_has_no_relative_change() -> None:
    view = sample.audit_view()
    flat = replace(view.verdict.proxies[0], without=0.0, difference=Estimate(0.0012))
    assert "+0.0012" in text_of(audit_page(replace(view, verdict=replace(view.verdict, proxies=(flat,)))))


@pytest.mark.parametrize("lengths", [[], [0], [1], [3], [0, 2]])
def test_a_page_of_almost_nothing(lengths: list[int]) -> None:
    events = sum(lengths)
    log = Sequences.from_items(np.ones(events, np.int32), np.array(lengths, np.int64))
    names = Names(pl.Series(["u"] * len(lengths), dtype=pl.String), Vocab.of(pl.Series(["i"])))
    evidence = np.zeros(events, np.int32)
    summary = summarise(log, np.full(events, 0.3), np.zeros(events, bool), evidence, names)
    level = replace(sample.level(), flagged=0)
    view = replace(sample.noise_view(), summary=summary, detections=(), log=log_view(log, names, "x"), level=level)
    text = text_of(noise_page(view))
    assert f"{words.counted(events, 'interaction')} of {words.counted(sum(n > 0 for n in lengths), 'user')}" in text
    assert not parse(noise_page(view)).mismatched
