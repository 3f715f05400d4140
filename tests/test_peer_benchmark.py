"""Other libraries are judged as ours are, and what is chosen for them is chosen on validation questions."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accuracy
import accuracy_tables
import machine
import numpy as np
import peer
import peer_tables
import pytest
import words
from datasets import Data

from methods.kinds import KIND, mixed
from siftrec.data.catalog import Catalog, Modality
from siftrec.data.split import TEST, Split
from siftrec.evaluate.evaluation import evaluate
from siftrec.evaluate.rank import rank
from siftrec.methods.itemknn import ItemKNN
from siftrec.train.fit import fit

SPLIT = mixed(True)


def data_of(split: Split) -> Data:
    events: Any = SimpleNamespace()
    return Data(events, split, Catalog(split.items.ids))


def test_lists_are_judged_as_scores_are() -> None:
    """The same model, once by its scores and once by the lists it would have handed over as another library."""
    trained, part, data = fit(ItemKNN(), SPLIT), SPLIT.test, data_of(SPLIT)
    lists = rank(trained.scorer, ItemKNN().length, part, len(data.catalog) - 1).top["none"]
    ours, theirs = evaluate(trained, part), peer.judged(peer.PEERS["implicit-als"], lists, data, part, 1)
    for filter in ("seen", "none"):
        for metric in ("ndcg@20", "recall@50", "mrr@5"):
            assert (ours.per_user(metric, filter) == theirs.per_user(metric, filter)).all()  # type: ignore[arg-type]


class Library:
    """Stands for a script: recommends item 1 + (regularization > 1) first, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[dict[str, np.ndarray]] = []

    def __call__(self, script: str, *arguments: str) -> dict[str, Any]:
        train, asked, out = (Path(each) for each in arguments if each.endswith(".npz"))
        with np.load(train) as one, np.load(asked) as two:
            self.given.append({f"train {key}": one[key] for key in one} | {f"asked {key}": two[key] for key in two})
        strong = float(arguments[arguments.index("--regularization") + 1]) > 1
        lists = np.tile(np.arange(1, 61), (len(self.given[-1]["asked users"]), 1))
        np.savez(out, items=lists if strong else lists[:, ::-1])
        return {"cpu_s": 1.0, "settings": {"regularization": 10.0 if strong else 0.01}}


def chosen(split: Split, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Library, dict[str, Any]]:
    library = Library()
    monkeypatch.setattr(peer, "call", library)
    return library, peer.peer_evaluation(name, data_of(split), 1)[1]


def with_targets(split: Split, role: int, item: int) -> Split:
    """Whoever is asked in a part, it is about this item."""
    items = np.where(split.role == role, item, split.log.items).astype(np.int32)
    return replace(split, log=replace(split.log, items=items))


def test_settings_are_chosen_by_validation_and_never_by_test(monkeypatch: pytest.MonkeyPatch) -> None:
    valid = 1
    for wanted in (1, 60):
        split = with_targets(with_targets(SPLIT, valid, wanted), TEST, 61 - wanted)
        _, told = chosen(split, "implicit-als", monkeypatch)
        assert told["method"]["regularization"] == (10.0 if wanted == 1 else 0.01)
        assert told["cpu_s"] == 5.0, "four tried and one judged"
        assert len(told["tried"]) == 4


@pytest.mark.parametrize("name", ["implicit-als", "implicit-bpr"])
def test_no_file_that_leaves_holds_a_test_target(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 60 is everybody's test target and nothing else; who reads no history learns from validation too."""
    known = np.where(SPLIT.log.items == 60, 59, SPLIT.log.items).astype(np.int32)
    split = with_targets(replace(SPLIT, log=replace(SPLIT.log, items=known)), TEST, 60)
    library, _ = chosen(split, name, monkeypatch)
    assert not any((array == 60).any() for given in library.given for key, array in given.items() if "items" in key)
    before, last = library.given[0], library.given[-1]
    more = len(split.valid.targets.items) if name == "implicit-bpr" else 0
    assert len(before["train items"]) == len(split.train.items)
    assert len(last["train items"]) == len(split.train.items) + more
    assert (last["asked items"] == split.test.histories.items).all()


def test_a_grid_is_every_combination_and_the_first_is_the_default() -> None:
    made = peer.grid(a_b=("1", "2"), c=("3", "4"))
    assert made[0] == ("--a-b", "1", "--c", "3")
    assert len(set(made)) == 4


def test_a_peer_cell_is_stale_when_what_decides_it_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Figures of another grid, choice, script or version would stand beside those of today."""
    name = "implicit-als"
    now = peer.peer_settings(name)
    assert machine.unchanged(json.loads(json.dumps(now)), now)
    assert not machine.unchanged({}, now)
    for folder in ("implicit", ""):
        (tmp_path / folder).mkdir(exist_ok=True)
        for path in (peer.HERE / folder).glob("*.[pt][yx]*"):
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(peer, "HERE", tmp_path)
    assert peer.peer_settings(name) == now
    for file in ("implicit/requirements.txt", "implicit/factors.py", "exchange.py"):
        (tmp_path / file).write_text((text := (tmp_path / file).read_text()) + "# changed\n")
        assert not machine.unchanged(now, peer.peer_settings(name)), file
        (tmp_path / file).write_text(text)
    monkeypatch.setattr(peer, "VALIDATED", 10)
    assert not machine.unchanged(now, peer.peer_settings(name))
    monkeypatch.undo()
    monkeypatch.setitem(peer.PEERS, name, peer.PEERS[name]._replace(grid=((),)))
    assert not machine.unchanged(now, peer.peer_settings(name))


def stored(name: str) -> dict[str, Any]:
    """A cell as it lies in the results."""
    cell = accuracy.Cell("microlens50k", 0.0, name, 1)
    settings = {"settings": {}, "method": {"use": name}, "versions": {"library": "1"}}
    metrics = {"filtered": dict.fromkeys(("ndcg@10", "ndcg@20", "recall@20"), 0.1)}
    return {"cell": asdict(cell), "evaluation": {"metrics": metrics}, "machine": {"processor": "Some CPU"}, **settings}


def test_the_page_speaks_of_the_libraries_that_have_run_only() -> None:
    names = {name: each.what for name, each in peer.PEERS.items()}
    for run, others in (("rectools-sasrec", ("implicit", "Cornac")), ("cornac-vbpr", ("implicit", "RecTools'"))):
        cells = {accuracy.Setting("microlens50k", 0.0): {run: [stored(run)]}}
        page = "\n\n".join(peer_tables.sections(cells, names))
        assert f"One setting: {names[run]}." in page
        assert ("validation interactions too" in page) == (run == "cornac-vbpr")
        assert f"--only 'microlens50k.rho0.{run}.*'" in page
        told, _, missing = page.partition("Not run: ")
        left, _, rest = missing.partition(". ")
        assert not any(other in told + rest for other in others)
        assert all(other in left for other in others)
        assert "Of several settings" not in page


def test_the_page_leaves_out_what_was_run_with_other_settings(tmp_path: Path) -> None:
    """Figures of two defaults would be averaged as if they were two seeds."""
    for seed, dim in ((1, 64), (2, 32)):
        cell = accuracy.Cell("microlens50k", 0.0, "sasrec", seed)
        settings = accuracy.settings_of(cell)
        settings["method"]["dim"] = dim
        figures = {"cell": asdict(cell), "settings": settings}
        (tmp_path / f"{cell}.json").write_text(json.dumps(figures))
    cells, stale = accuracy_tables.stored_cells(tmp_path)
    assert [run["cell"]["seed"] for run in cells[accuracy.Setting("microlens50k", 0.0)]["sasrec"]] == [1]
    assert stale == 1


def test_a_table_that_is_off_by_default_is_shown_whole() -> None:
    """Demure with views ended the page in a traceback."""
    assert words.flat({"use": "siftrec:Demure", "views": {"count": 2}}) == "use siftrec:Demure, views (count 2)"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, each in peer.PEERS.items() if not each.script.startswith("rectools")])
def test_the_libraries_themselves_find_what_users_like_and_nothing_where_there_is_nothing(name: str) -> None:
    """Items, users or features that lost their numbers on the way would bring any library down to chance."""
    each = peer.PEERS[name]
    if not (peer.HERE / each.script).parent.joinpath(".venv").exists():
        pytest.skip(f"the environment of {each.script} is missing: make peer-{each.script.partition('/')[0]}")
    for planted in (True, False):
        split = mixed(planted)
        kind_N = np.concatenate([[-1], split.items.ids.to_numpy().astype(np.int64) >= KIND])
        content = Modality(np.random.default_rng(2).normal(size=(len(kind_N) - 1, 4)), np.ones(len(kind_N) - 1, bool))
        catalog = Catalog(split.items.ids, **({"text": content} if each.content else {}))
        lists, told = peer.answers(each, split.train, split.test, catalog, (*each.grid[0], "--seed", "1"))
        liked_Q = split.test.user_ids.to_numpy().astype(np.int64) % 2
        share = (kind_N[lists[:, :10]] == liked_Q[:, None]).mean()
        # Four fifths of a history are of the kind its user likes, and a ranking may well lean to it further.
        assert share > 0.65 if planted else abs(share - 0.5) < 0.15
        assert (lists > 0).any(axis=1).all()
        assert min(told["fit_cpu_s"], told["users_per_s"], told["targets_per_s"]) > 0


def test_a_library_that_is_not_installed_keeps_nobody_else_waiting(monkeypatch, capsys, tmp_path) -> None:
    """One failing install would leave out every cell of ours."""
    started: list[str] = []
    monkeypatch.setattr(machine, "run_each", lambda script, command, names, data, jobs: started.extend(names))
    monkeypatch.setattr(peer, "HERE", tmp_path)
    python = tmp_path / "implicit" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    asked = ["microlens50k.rho0.cornac-vbpr.*", "microlens50k.rho0.implicit-als.*", "microlens50k.rho0.sasrec.seed1"]
    accuracy.run(argparse.Namespace(only=asked, curves=None, again=True, data=tmp_path, jobs=1))
    assert started == ["microlens50k.rho0.sasrec.seed1", "microlens50k.rho0.implicit-als.seed1"]
    assert (
        "microlens50k.rho0.cornac-vbpr.seed1: waits for its library; run: make peer-cornac" in capsys.readouterr().err
    )
