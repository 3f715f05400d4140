import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import damage
import hostile
from siftrec.artifact import ABOUT, CATALOG, WEIGHTS, load, save
from siftrec.data.catalog import Catalog, Modality
from siftrec.errors import ArtifactError, EnvironmentProblem, UsageError
from siftrec.methods.ease import EASE
from siftrec.methods.itemknn import ItemKNN
from siftrec.methods.markov import Markov
from siftrec.methods.popularity import Popularity
from siftrec.methods.sasrec import SASRec
from siftrec.methods.trained import Trained
from siftrec.train.fit import fit
from train.tiny import Tiny, split, tiny_fit, weights_hash

SOURCE = Path(__file__).parents[1] / "src" / "siftrec"
TRUST = ("siftrec", "train")


def with_content() -> Trained:
    whole = split()
    n = len(whole.items) - 1
    present = np.arange(n) % 3 > 0
    text = Modality(
        np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32), present, source="t.npy", sha256="ab"
    )
    return fit(Tiny(), whole, Catalog(whole.items.ids, text=text), epochs=1)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return with_content()


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    save(trained, tmp_path / "run" / "artifact")
    return tmp_path / "run" / "artifact"


@pytest.mark.parametrize("place", ["run", "run/artifact"])
def test_a_loaded_model_is_the_saved_one_without_its_content(
    trained: Trained, folder: Path, tmp_path: Path, place: str
) -> None:
    again = load(tmp_path / place, trust=TRUST)
    assert weights_hash(again) == weights_hash(trained)
    assert (again.method, again.facts, again.contents) == (trained.method, trained.facts, trained.contents)
    assert again.items == trained.items
    assert (again.popularity == trained.popularity).all()
    histories = [["v1", "v2"], [], ["v3", "nobody"], ["v4"] * 9]
    assert again.recommend_many(histories, k=5) == trained.recommend_many(histories, k=5)
    save(again, folder)
    assert weights_hash(load(folder, trust=TRUST)) == weights_hash(trained)


def test_titles_are_kept_word_for_word(trained: Trained, tmp_path: Path) -> None:
    named = replace(trained, titles={"v1": "<b>\u202eOne</b>\n", "v3": ""})
    save(named, tmp_path / "a")
    assert load(tmp_path / "a", trust=TRUST).titles == named.titles


def test_an_artifact_from_before_titles_still_loads(trained: Trained, folder: Path) -> None:
    catalog(lambda t: t.drop("title"))(folder)
    damage.edited(folder, ABOUT, lambda about: about.pop("added"))
    again = load(folder, trust=TRUST)
    assert (again.titles, again.added) == ({}, 0)
    assert again.recommend(["v1", "v2"], k=5) == trained.recommend(["v1", "v2"], k=5)


@pytest.mark.parametrize("method", [Popularity(), ItemKNN(), Markov(), EASE(), SASRec(dim=8, heads=2, length=5)])
def test_every_method_survives_the_round_trip(tmp_path: Path, method: object) -> None:
    model = fit(method, split(), epochs=1)  # type: ignore[arg-type]
    save(model, tmp_path / "a")
    again = load(tmp_path / "a")
    assert weights_hash(again) == weights_hash(model)
    assert again.recommend(["v1", "v5"], k=4) == model.recommend(["v1", "v5"], k=4)


def test_a_history_beyond_every_block_width_is_read_to_its_end() -> None:
    model = fit(ItemKNN(length=600, decay=1.0), split())
    history = ["v1"] * 90 + ["v2"] * 510
    right = model.scorer.scores(torch.from_numpy(model.items.encode(pl.Series(history)).astype(np.int64))[None])
    assert model.recommend(history, k=1, seen=True).scores == [float(right[0, 1:].max())]


def test_whole_number_ids_keep_their_type(tmp_path: Path) -> None:
    whole = split()
    numbers = pl.Series("id", np.arange(100, 100 + len(whole.items) - 1), dtype=pl.UInt32)
    model = fit(Popularity(), whole)
    renamed = Trained(model.method, model.scorer, type(whole.items)(numbers), model.popularity, model.facts)
    save(renamed, tmp_path / "a")
    assert load(tmp_path / "a").items.ids.dtype == pl.UInt32
    assert load(tmp_path / "a").recommend([101], k=2) == renamed.recommend([101], k=2)


def about(change: Callable[[dict], object]) -> damage.Damage:  # type: ignore[type-arg]
    return lambda folder: damage.edited(folder, ABOUT, change)  # type: ignore[arg-type]


def catalog(change: Callable[[pl.DataFrame], pl.DataFrame]) -> damage.Damage:
    def apply(folder: Path) -> None:
        change(pl.read_ipc((folder / CATALOG).read_bytes())).write_ipc(folder / CATALOG)
        damage.reseal(folder)

    return apply


DAMAGES = damage.every(WEIGHTS, (ABOUT, CATALOG)) | {
    "about a list": damage.resealed(damage.text(ABOUT, "[]")),
    "about with NaN": damage.resealed(damage.text(ABOUT, '{"items": NaN}')),
    "about too deep": damage.resealed(damage.text(ABOUT, '{"a":' * 100_000)),
    "no method": about(lambda a: a.pop("method")),
    "method a text": about(lambda a: a.update(method="siftrec:SASRec")),
    "method without use": about(lambda a: a["method"].pop("use")),
    "method of a module that is not": about(lambda a: a["method"].update(use="siftrec.nowhere:Tiny")),
    "method of a module that runs a command": about(lambda a: a["method"].update(use="siftrec.__main__:Tiny")),
    "method that is no method": about(lambda a: a.update(method={"use": "siftrec:LeaveOneOut"})),
    "method with an unknown setting": about(lambda a: a["method"].update(dimm=8)),
    "method of another size": about(lambda a: a["method"].update(dim=9)),
    "method of another kind": about(lambda a: a.update(method={"use": "siftrec:ItemKNN"})),
    "facts missing": about(lambda a: a.pop("facts")),
    "facts with text": about(lambda a: a["facts"].update(seed="7")),
    "modalities missing": about(lambda a: a.pop("modalities")),
    "modality of another width": about(lambda a: a["modalities"][0].update(width=7)),
    "modality of no width": about(lambda a: a["modalities"][0].update(width=0)),
    "modality with a stranger": about(lambda a: a["modalities"][0].update(cake=1)),
    "one item less": about(lambda a: a.update(items=a["items"] - 1)),
    "catalog shorter": catalog(lambda t: t.head(3)),
    "catalog empty": catalog(lambda t: t.head(0)),
    "catalog unsorted": catalog(lambda t: t.reverse()),
    "catalog with repeats": catalog(lambda t: t.with_columns(id=pl.lit("v1"))),
    "catalog with gaps": catalog(lambda t: t.with_columns(id=pl.lit(None, dtype=pl.String))),
    "catalog of decimals": catalog(lambda t: t.with_columns(id=pl.int_range(pl.len()).cast(pl.Float64))),
    "catalog without popularity": catalog(lambda t: t.drop("popularity")),
    "titles that are numbers": catalog(lambda t: t.with_columns(title=pl.lit(1))),
    "items added, but none has room": about(lambda a: a.update(added=2)),
    "more items added than there are": about(lambda a: a.update(added=a["items"] + 1)),
    "items added by name": about(lambda a: a.update(added="v1")),
    "catalog with negative popularity": catalog(lambda t: t.with_columns(popularity=-1 - pl.col("popularity"))),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_refused_by_name(folder: Path, name: str) -> None:
    DAMAGES[name](folder)
    with pytest.raises(ArtifactError) as caught:
        load(folder, trust=TRUST)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert caught.value.exit_code == 4


def beyond(tensors: dict[str, torch.Tensor]) -> None:
    tensors["links.items"][:] = 50_000_000


def past_the_end(tensors: dict[str, torch.Tensor]) -> None:
    tensors["links.offsets"][3] = 10**12


def of_another_catalog(tensors: dict[str, torch.Tensor]) -> None:
    for name, each in tensors.items():
        tensors[name] = each.repeat(*(2 for _ in each.shape))


def of_two_sizes(tensors: dict[str, torch.Tensor]) -> None:
    tensors["weights"] = tensors["weights"][:3, :3].contiguous()


COUNTED_DAMAGES = [
    (ItemKNN(), beyond),
    (Markov(), past_the_end),
    (Popularity(), of_another_catalog),
    (EASE(), of_another_catalog),
    (EASE(), of_two_sizes),
]


@pytest.mark.parametrize(("method", "change"), COUNTED_DAMAGES, ids=lambda each: getattr(each, "__name__", ""))
def test_what_was_counted_is_tried_before_it_answers(
    tmp_path: Path, method: object, change: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    """Links that point beyond the catalog end the process at the first question: a service that reloads would be gone."""
    save(fit(method, split()), tmp_path / "a")  # type: ignore[arg-type]
    damage.tensors_edited(WEIGHTS, change)(tmp_path / "a")
    with pytest.raises(ArtifactError, match="does not fit the method"):
        load(tmp_path / "a")


def test_a_name_in_a_file_is_code_to_be_run(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"would run code of 'train'; .*--trust train, or trust=\['train'\]"):
        load(folder)
    assert load(folder, trust=["train"]).items == load(folder, trust=TRUST).items  # siftrec's own need not be said


def test_trust_is_a_list_of_packages(folder: Path) -> None:
    """Text is a list of letters to Python: whoever gave it would be told that their package is not trusted."""
    for wrong in ("train", ["train.tiny"], ["train:Tiny"]):
        with pytest.raises(UsageError, match=r"^trust "):
            load(folder, trust=wrong)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for place, told in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "not a complete siftrec artifact")):
        with pytest.raises(ArtifactError, match=told):
            load(place)


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    broken = tiny_fit(epochs=0)
    with torch.no_grad():
        next(broken.scorer.parameters())[0, 0] = torch.nan  # type: ignore[attr-defined]
    with pytest.raises(ArtifactError, match=r"table\.weight holds NaN"):
        save(broken, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_an_artifact_and_nothing_else(trained: Trained, folder: Path) -> None:
    save(tiny_fit(epochs=0), folder)
    assert load(folder, trust=TRUST).contents == ()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(EnvironmentProblem, match=r"holds 'notes\.txt'"):
        save(trained, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(EnvironmentProblem, match="choose another"):
        save(trained, folder.parent)


def test_a_run_folder_takes_its_own_model_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    own = tiny_fit(run, epochs=1)
    save(own, run)
    (run / "run.json").write_text(json.dumps({"fingerprints": {"train": own.facts.train}}))
    save(own, run)
    others = {
        "method.use is 'train.tiny:Tiny', that of the model 'siftrec:Popularity'": fit(Popularity(), split()),
        "method.dim is '8', that of the model '4'": tiny_fit(epochs=0, method=Tiny(dim=4)),
        "seed is 7, that of the model 8": tiny_fit(epochs=0, seed=8),
        "training data is": fit(Tiny(), split(seed=3), epochs=0),
    }
    for told, other in others.items():
        with pytest.raises(UsageError, match=f"holds another run: its {told}"):
            save(other, run)
    assert weights_hash(load(run, trust=TRUST)) == weights_hash(own)


def test_the_file_says_what_the_model_is(trained: Trained, folder: Path) -> None:
    table = json.loads((folder / ABOUT).read_text())
    assert table["method"]["use"] == "train.tiny:Tiny"
    assert table["parameters"] == {"embedding": 80, "other": 8 * 8 + 8 + 6 * 8 + 8}
    assert table["modalities"][0] | {"coverage": 0} == {
        "name": "text",
        "width": 6,
        "coverage": 0,
        "source": "t.npy",
        "sha256": "ab",
    }


@pytest.mark.parametrize("file", [WEIGHTS, CATALOG, ABOUT])
def test_nothing_unpickles(folder: Path, file: str) -> None:
    for name in ("w.pt", "w.pth", "w.pkl", "w.npy", "w.npz", "w.yaml"):
        (folder / name).write_bytes(hostile.PICKLE)
    with hostile.nothing_unpickled():
        load(folder, trust=TRUST)
        (folder / file).write_bytes(hostile.PICKLE)
        damage.reseal(folder)
        with pytest.raises(ArtifactError):
            load(folder, trust=TRUST)
        shutil.copy(folder / "w.pt", folder / damage.MANIFEST)
        with pytest.raises(ArtifactError):
            load(folder, trust=TRUST)


FORBIDDEN = (
    r"\bpickle\b(?!\.$)|torch\.load\b|allow_pickle\s*=\s*True|(?<![\w.])eval\(|(?<![\w.])exec\(|shell\s*=\s*True"
)


def test_the_source_holds_no_way_to_run_a_file() -> None:
    code = {path: re.sub(r'""".*?"""|#.*', "", path.read_text(), flags=re.S) for path in SOURCE.rglob("*.py")}
    assert len(code) > 20
    found = [f"{path.name}: {match[0]}" for path, body in code.items() for match in re.finditer(FORBIDDEN, body)]
    assert found == []
