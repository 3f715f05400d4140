import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cli.modal import small_detectors
from data.shown import sides
from data.test_impression_readers import kuairand_folder
from followed import Followed
from own import beside
from siftrec import config
from siftrec.cli.main import run
from siftrec.methods.base import Method
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.denoise import Denoise
from siftrec.methods.ease import EASE
from siftrec.methods.itemknn import ItemKNN
from siftrec.methods.markov import Markov
from siftrec.methods.popularity import Popularity
from siftrec.settings import describe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCS = ROOT / "docs"
METHOD = (DOCS / "methods" / "ccl4rec.md").read_text("utf-8")
PEERS = ROOT / "benchmarks" / "peers"
RECBOLE = PEERS / "recbole"
MICROLENS = ROOT.parent / "shared" / "data" / "microlens50k"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Arguments of every `siftrec` line of the README."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("$ siftrec ")]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the README's examples name, and the folder they are in as the current one."""
    rng = np.random.default_rng(5)
    items = ["v17", "v203", *(f"v{i}" for i in range(300, 358))]
    rows = [
        (f"u{u}", items[i], 1_600_000_000 + 60 * t) for u in range(150) for t, i in enumerate(rng.permutation(60)[:9])
    ]
    pl.DataFrame(rows, schema=["uid", "vid", "ts"], orient="row").write_parquet(tmp_path / "events.parquet")
    (tmp_path / "parts").mkdir()
    for part in range(2):
        named = pl.DataFrame(rows[part::2], schema=["user", "item", "time"], orient="row")
        named.write_parquet(tmp_path / "parts" / f"part-{part}.parquet")
    pl.DataFrame({"row": range(60), "item": items}).write_csv(tmp_path / "items.tsv", separator="\t")
    np.save(tmp_path / "title.npy", rng.standard_normal((60, 8)).astype(np.float32))
    cover = pl.DataFrame({"item": items[20:], "vector": rng.standard_normal((40, 6)).astype(np.float32)})
    cover.write_parquet(tmp_path / "cover.parquet")
    np.save(tmp_path / "sound.npy", rng.standard_normal((50, 4)).astype(np.float32))
    (tmp_path / "sound_ids.txt").write_text("\n".join(items[:50]) + "\n")
    shown = sides(True, users=12).frame
    named = shown.with_columns(
        item=pl.Series(items).gather(shown["item"]), time=pl.Series([60 * t for t in shown["time"]])
    )
    named.select("user", "item", "time", "label").write_parquet(tmp_path / "impressions.parquet")
    rated = named.select("user", "item", rating=2 + 2 * pl.col("label"), time="time")
    rated.write_csv(tmp_path / "ratings.csv")
    kuairand_folder(tmp_path / "KuaiRand-Pure", each=20)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_block_runs(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    shorter = re.sub(r"epochs=\d+", "epochs=1", code).replace("dim=64", "dim=8")
    assert shorter.count("epochs=1,") == 2
    exec(compile(shorter, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert "ndcg@10" in out
    assert len(re.findall(r"^ *\d+  v\d+ ", out, re.MULTILINE)) == 10


def test_the_experiment_block_loads_as_it_stands(data: Path) -> None:
    text, inject = blocks("toml")
    named = text.replace("[split]", 'user = "uid"\nitem = "vid"\ntime = "ts"\n\n[split]')
    (data / "exp.toml").write_text(f"{named}\n{inject}")
    experiment = config.load(data / "exp.toml")
    prepared = experiment.prepare()
    assert list(prepared.catalog) == ["title"]
    assert prepared.injected is not None


def test_the_command_lines_are_those_of_the_program(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands()
    assert [command[0] for command in found] == ["init", "train", "evaluate", "recommend"]
    pl.read_parquet("events.parquet").rename({"uid": "user", "vid": "item", "ts": "time"}).write_csv("log.csv")
    (data / "log").mkdir()
    (data / "log.csv").rename(data / "log" / "log.csv")
    for command in found:
        short = ["--set", "train.epochs=1", "--set", "method.dim=8"] if command[0] == "train" else []
        arguments = ["log" if part == "../shared/data/microlens50k" else part for part in command]
        assert run([*arguments, *short]) == 0, capsys.readouterr().err
    assert (data / "m.json").exists()
    assert capsys.readouterr().out.splitlines()[-1].startswith('{"items": [{"rank": 1')


@pytest.mark.slow
@pytest.mark.skipif(not MICROLENS.is_dir(), reason="needs ../shared/data/microlens50k")
def test_the_command_lines_run_on_the_data_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in commands():
        short = ["--set", "train.epochs=1"] if command[0] == "train" else []
        arguments = [str(MICROLENS) if part == "../shared/data/microlens50k" else part for part in command]
        assert run([*arguments, *short]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.splitlines()[-1].count('"rank"') == 10


@pytest.mark.parametrize("page", sorted((DOCS / "howto").glob("*.md")), ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore:modality 'tags' has vectors for only")  # an example of two items
def test_a_howto_can_be_followed(page: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block after block: TOML becomes exp.toml, Python that begins with the name of a file becomes that file, commands and
    other Python run; what another program reads does not."""
    small_detectors(monkeypatch)
    pl.DataFrame({"user": ["new"], "history": [["v17", "v203"]]}).write_parquet("histories.parquet")
    names, missing = dict[str, Any](), set[str]()
    with Followed() as follow, beside(data):
        sys.path.append(str(data))  # as for Python that was started there
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            if language == "toml":
                Path("exp.toml").write_text(block, "utf-8")
            elif language == "python" and (file := re.match(r"# (\w+\.py)\n", block)):
                Path(file[1]).write_text(block, "utf-8")
            elif language == "python" and absent(block):
                missing |= absent(block)
            elif language == "python":
                with warnings.catch_warnings():
                    if "from recbole" in block:
                        warnings.simplefilter("ignore")  # what it does with pandas and torch is not the page's doing
                    exec(compile(block, page.name, "exec"), names)
            elif language == "console":
                follow(block)
            else:
                assert language in ("nginx", "sh", "sql"), language
    if missing:
        pytest.skip(f"every block ran but those that need {', '.join(sorted(missing))}, which is not installed here")


@pytest.mark.slow
def test_the_page_s_own_methods_pass_mypy_as_methods_and_as_a_base(tmp_path: Path) -> None:
    """Who types their method would otherwise be told that the page's signatures are no method's."""
    pytest.importorskip("mypy")
    page = (DOCS / "howto" / "own-method.md").read_text("utf-8")
    (module,) = re.findall(r"^```python\n(# my_methods\.py\n.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "my_methods.py").write_text(module, "utf-8")
    (tmp_path / "use.py").write_text(
        "import siftrec as sr\nfrom siftrec.testing import check_method\nfrom my_methods import Fading, Fresh, LastFew\n"
        "check_method(Fading())\ncheck_method(Fresh())\nsr.Demure(base=Fading())\n"
        'sr.fit(Fading(), LastFew()(sr.read("events.csv")))\n'
    )
    command = ["-m", "mypy", "--strict", "--follow-imports=silent", "my_methods.py", "use.py"]
    place = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def absent(block: str) -> set[str]:
    """Libraries that a block imports and that are not installed."""
    found = {name.split(".")[0] for name in re.findall(r"^(?:from|import) ([\w.]+)", block, re.MULTILINE)}
    return {name for name in found if importlib.util.find_spec(name) is None}


@pytest.mark.slow
@pytest.mark.skipif(
    not (RECBOLE / ".venv" / ".done").exists(), reason="the environment of RecBole is missing: make peer-recbole"
)
def test_recbole_learns_each_target_by_its_weight(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever followed the page would not notice weights that stayed behind or arrived with another target.

    RecBole needs an older NumPy than other tests may have; its script carries out section 4 and holds it against the file.
    """
    small_detectors(monkeypatch)
    console = re.search(r"^```console\n(.*?)^```", (DOCS / "howto" / "weights.md").read_text("utf-8"), re.M | re.S)
    assert console is not None
    with Followed() as follow:
        follow(console[1])
    log = pl.read_parquet("weighted.parquet")
    held_out = log.sort("ts", maintain_order=True).group_by("uid", maintain_order=True).tail(2)
    assert (held_out["weight"] == 1).all(), "RecBole holds out what siftrec does"
    ranks = np.random.default_rng(3).permutation(len(log)) / len(log)
    told_apart = log.with_columns(weight=pl.Series(ranks)).sample(fraction=1.0, shuffle=True, seed=2)
    told_apart.write_parquet("weighted.parquet")
    command = [RECBOLE / ".venv" / "bin" / "python", RECBOLE / "weights.py", "weighted.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["targets"] == 150 * (9 - 3)


LISTED = {
    "rectools": """
given = dataset.interactions.df
assert abs(given[Columns.Weight].sum() - frame[Columns.Weight].sum()) < 1e-3 * len(frame)
listed = model.recommend(["u0", "u1"], dataset, k=3, filter_viewed=True)
assert len(listed) == 6 and set(listed[Columns.Item]) <= set(frame[Columns.Item])
""",
    "implicit": """
assert abs(matrix.sum() - frame["weight"].sum()) < 1e-3 * len(frame) and matrix.nnz == len(frame)
assert 0 < sampled.nnz < matrix.nnz and abs(sampled.nnz - matrix.sum()) < 4 * len(frame) ** 0.5
assert len(best) == 3 and not set(best) & set(matrix[0].indices)
""",
}
"""What must hold after a section of the page has been carried out in the library's own environment."""


@pytest.mark.slow
@pytest.mark.parametrize("peer", LISTED)
def test_another_library_reads_the_weights_as_the_page_says(peer: str, data: Path) -> None:
    """The page's own lines, where the library is: a changed argument there would otherwise be found by a reader."""
    python = PEERS / peer / ".venv" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"the environment of {peer} is missing: make peer-{peer}")
    log = pl.read_parquet("events.parquet")
    ranks = np.random.default_rng(3).permutation(len(log)) / len(log)
    log.with_columns(weight=pl.Series(ranks)).write_parquet("weighted.parquet")
    page = (DOCS / "howto" / "weights.md").read_text("utf-8")
    (section,) = re.findall(rf"^## \d\. {peer}\n(.*?)^## ", page, re.MULTILINE | re.DOTALL | re.IGNORECASE)
    code = "".join(re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL))
    done = subprocess.run([python, "-c", code + LISTED[peer]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def flat(table: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        yield from flat(value, f"{path}{key}.") if isinstance(value, Mapping) else [(path + key, value)]


def test_the_method_page_has_every_setting_with_its_default() -> None:
    told = re.findall(r"^\| `([\w.]+)` \| `([^`]+)` \|", METHOD, re.MULTILINE)
    defaults = dict(flat(describe(CCL4Rec(denoise=Denoise()))))
    del defaults["use"]
    assert told == [(key, json.dumps(value)) for key, value in defaults.items()]


@pytest.mark.parametrize(
    "method", [Popularity(), Markov(), ItemKNN(), EASE()], ids=lambda method: type(method).__name__
)
def test_counted_methods_stand_among_the_opponents_with_every_setting_and_its_default(method: Method) -> None:
    """Who repeats a baseline would otherwise repeat another one."""
    given = ", ".join(f"{key}={value!r}" for key, value in describe(method).items() if key != "use")
    assert f"| `siftrec.{type(method).__name__}({given})` |" in (DOCS / "methods" / "opponents.md").read_text("utf-8")


def test_extras_that_pages_install_are_there_and_need_no_release() -> None:
    """Nobody has released siftrec: a name asked of a registry is not found, or is somebody else's."""
    asked = {name for page in PAGES for name in re.findall(r"pip install '([^']+)'", page.read_text("utf-8"))}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert len(asked) > 2
    assert asked <= {f".[{extra}]" for extra in extras}


def test_every_ablation_of_the_method_page_is_one(tmp_path: Path) -> None:
    (tmp_path / "exp.toml").write_text('[data]\npath = "log.csv"\n[method]\nuse = "siftrec:CCL4Rec"\n')
    overrides = re.findall(r"--set (method\.\S+=[^\s`]+)", METHOD)
    assert len(overrides) > 10
    for override in overrides:
        assert config.load(tmp_path / "exp.toml", [override]).method != CCL4Rec(), override


PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_into_the_project_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_index_leads_to_every_page() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (DOCS / "index.md").read_text("utf-8"))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"index.md"}
    assert pages <= set(links)
