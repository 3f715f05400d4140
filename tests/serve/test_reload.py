"""A new artifact is taken up under load without a failed request; a bad one leaves the old one serving."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from starlette.testclient import TestClient

import siftrec as sr
from cli.modal import modal_run
from serve.conftest import SHORT
from serve.running import Process, ask, running
from siftrec.data.vocab import Vocab
from siftrec.methods.trained import Trained
from siftrec.serve.app import create_app
from siftrec.serve.model import Serving
from siftrec.serve.store import Item, Store


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Another model of the same catalog."""
    return sr.load(modal_run(tmp_path_factory.mktemp("other"), use="siftrec:LateFusion"))


def swapped(process: Process, folder: Path, models: list[Trained], swaps: int, only: list[str] | None = None) -> None:
    """Swap models while three clients ask; every answer must be one model's, whole, and the last must arrive."""
    answers = {tuple(each.recommend(["v01", "v04"], 5, only=only).items): number for number, each in enumerate(models)}
    assert len(answers) == len(models)
    seen, stop, problems = dict[str, set[int]](), threading.Event(), list[str]()

    def client() -> None:
        connection = process.connect()
        while not stop.is_set():
            status, told = ask(connection, "/v1/recommend", {"history": ["v01", "v04"], "k": 5, "only": only})
            if status != 200:
                problems.append(f"{status}: {told}")
                return
            number = answers.get(tuple(each["item"] for each in told["items"]))
            if number is None:
                problems.append(f"no model says {told}")
            seen.setdefault(told["model"], set()).add(-1 if number is None else number)
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(3)]
    for each in clients:
        each.start()
    try:
        asking = process.connect()
        for count in range(swaps):
            before = ask(asking, "/health/ready")[1]["model"]
            sr.save(models[1 - count % 2], folder / "artifact")
            wait(lambda before=before: ask(asking, "/health/ready")[1]["model"] != before)
        asking.close()
    finally:
        stop.set()
        for each in clients:
            each.join()
    assert problems == []
    assert sorted(map(sorted, seen.values())) == [[0], [1]]  # a version names one model, and both were met


def wait(until: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_swaps_under_load(process: Process, process_run: Path, other: Trained) -> None:
    model = sr.load(process_run)
    swapped(process, process_run, [model, other], 2, only=model.items.ids.to_list())  # others added items to its store


@pytest.mark.slow
def test_fifty_swaps_under_load(run: Path, other: Trained) -> None:
    models = [sr.load(run), other]
    with running(run, limits=SHORT) as process:
        swapped(process, run, models, 50)


def damage(run: Path) -> None:
    weights = run / "artifact" / "weights.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    manifest = run / "artifact" / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")


def test_a_bad_new_model_leaves_the_old_one_serving(
    run: Path, other: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    serving = Serving(run, Store(run / "store"))
    before = serving.current
    damage(run)
    serving.poll()
    assert serving.current == before
    assert "SHA-256" in (serving.problem or "")
    serving.poll()
    serving.poll()
    assert serving.reloads == {"done": 0, "refused": 1}  # what has not changed is not tried again and again
    sr.save(other, run / "artifact")
    serving.poll()
    serving.reload()
    assert serving.problem is None
    refused, served = capsys.readouterr().err.splitlines()  # the last line is what is so now
    assert refused.startswith("error: the new model is refused")
    assert served == f"serving model {serving.current.version} (40 items)"
    assert serving.current.trained.recommend(["v01"], 3).items == other.recommend(["v01"], 3).items


def test_health_and_metrics_tell_of_a_refused_model(
    client: TestClient, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client.get("/health/ready").json()["problem"] is None
    damage(run)
    wait(lambda: client.get("/health/ready").json()["problem"] is not None)
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert str(run) not in ready.text  # everybody may ask
    assert str(run) in client.get("/v1/model").json()["problem"]
    assert str(run) in capsys.readouterr().err
    assert "siftrec_model_stale 1.0" in client.get("/metrics").text
    assert client.post("/v1/recommend", json={"history": ["v01"]}).status_code == 200


def test_an_artifact_that_arrives_file_by_file_is_served_once_it_is_whole(run: Path, other: Trained) -> None:
    """`cp` gives no order: the manifest may come first, and what it names only later."""
    serving = Serving(run, Store(run / "store"))
    sr.save(other, run / "new")
    for name in ("manifest.json", "artifact.json", "catalog.arrow", "weights.safetensors"):
        assert serving.current.trained.recommend(["v01"], 3).items != other.recommend(["v01"], 3).items
        shutil.copyfile(run / "new" / name, run / "artifact" / name)
        serving.poll()
    assert serving.reloads["refused"] > 0
    serving.poll()
    assert serving.problem is None
    assert serving.current.trained.recommend(["v01"], 3).items == other.recommend(["v01"], 3).items


def test_the_swap_of_the_guide_is_taken_up_without_a_refusal(
    run: Path, other: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "serve.md").read_text("utf-8")
    (steps,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    train, *swap = steps.splitlines()
    assert train == "siftrec train exp.toml -o runs/new"
    (run.parent / "runs").mkdir()
    run.rename(run.parent / "runs" / "served")
    monkeypatch.chdir(run.parent)
    sr.save(other, "runs/new/artifact")
    serving = Serving(Path("runs/served"), Store(Path("store")))
    for step in swap:
        subprocess.run(["bash", "-ec", step], check=True)
        serving.poll()
    assert serving.reloads == {"done": 1, "refused": 0}
    assert serving.current.trained.recommend(["v01"], 3).items == other.recommend(["v01"], 3).items


def test_what_a_crash_left_has_its_version(run: Path) -> None:
    """Killed between two renames, `save` leaves the old artifact under a hidden name; answers say which it is."""
    before = Serving(run, Store(run / "store")).current.version
    (run / "artifact").rename(run / ".artifact.old")
    assert Serving(run, Store(run / "store")).current.version == before


def test_a_folder_that_is_away_for_a_moment_changes_nothing(run: Path) -> None:
    serving = Serving(run, Store(run / "store"))
    shutil.move(run / "artifact", run / "away")
    serving.poll()
    assert (serving.problem, serving.reloads["refused"]) == (None, 0)
    shutil.move(run / "away", run / "artifact")
    serving.poll()
    assert serving.problem is None


def test_items_of_the_store_come_along_and_those_that_do_not_fit_are_counted(run: Path, other: Trained) -> None:
    serving = Serving(run, Store(run / "store"))
    serving.add([Item("a", None, {"text": [1.0] * 6}), Item("b", None, {"image": [1.0] * 6})])
    sr.save(other, run / "artifact")
    serving.poll()
    assert (serving.current.added, serving.current.left_out) == (2, 0)
    assert {"a", "b"} <= set(serving.current.trained.recommend(["a"], 50, seen=True).items)
    (run / "counted").mkdir()
    serving = Serving(modal_run(run / "counted", use="siftrec:ItemKNN"), Store(run / "store"))
    assert (serving.current.added, serving.current.left_out) == (0, 2)


def test_a_title_stays_when_an_item_that_was_added_is_trained(run: Path) -> None:
    """A log has no titles, so after the first training again the page would show bare ids."""
    model, store = sr.load(run), Store(run / "store")
    fits = {"text": [1.0] * 6}
    store.add_items(
        [
            Item("v02", "Two", {"other": [1.0]}),
            Item("v01", "Another", fits),
            Item("v03", None, fits),
            Item("x", "X", fits),
        ]
    )
    assert model.titles["v01"] == "<i>One</i>"
    assert "v02" not in model.titles
    with TestClient(create_app(Serving(run, store), store), base_url="http://127.0.0.1") as client:
        said = client.post("/v1/recommend", json={"history": ["v05"], "k": 99}).json()["items"]
        titles = {each["item"]: each["title"] for each in said}
        assert [titles[item] for item in ("v01", "v02", "v03", "x")] == ["<i>One</i>", "Two", None, "X"]
        assert [each["item"] for each in client.get("/v1/search?q=two").json()["items"]] == ["v02"]
        assert client.get("/health/ready").json()["left_out"] == 0


def test_an_item_that_does_not_fit_keeps_no_other_out(run: Path) -> None:
    """Clients were told that theirs are stored; one of another model in the same store must not cost them."""
    whole, one = Store(run / "store"), {"text": [1.0] * 6}
    serving = Serving(run, whole)
    odd = [
        Item("empty", None, {}),
        Item("flat", None, {"text": [1.0]}),
        Item("other", None, {"x": [1.0]}),
    ]
    whole.add_items([Item("a", None, one), *odd, Item("b", None, one), Item("c", None, one)])
    serving.poll()
    for each in (serving, Serving(run, whole)):
        assert (each.current.added, each.current.left_out) == (3, 3)
        assert all(each.current.trained.codes(["a", "b", "c"]))


def test_a_catalog_of_numbers_takes_the_numbers_of_a_store(run: Path) -> None:
    trained = sr.load(run)
    numbered = replace(trained, items=Vocab(pl.Series("id", range(40))), titles={})
    sr.save(numbered, run / "artifact")
    store = Store(run / "store")
    store.add_items([Item(name, None, {"text": [1.0] * 6}) for name in ("9000", "abc", "007", "9001")])
    served = Serving(run, store).current
    assert (served.added, served.left_out) == (2, 2)
    assert {9000, 9001} <= set(served.trained.items.ids)


@pytest.mark.slow
def test_hangup_reloads(run: Path) -> None:
    with running(run, limits={"poll_seconds": 3600.0}) as process:
        connection = process.connect()
        before = ask(connection, "/health/ready")[1]
        damage(run)
        process.child.send_signal(signal.SIGHUP)
        wait(lambda: ask(connection, "/health/ready")[1] != before)
        connection.close()
