"""What can be measured where the truth was planted: used by `benchmarks/planted.py` and by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.loader import pad
from siftrec.data.sequences import Sequences
from siftrec.data.split import TRAIN, VALID
from siftrec.detectors.blend import Blend, Detector
from siftrec.detectors.cooccurrence import Cooccurrence
from siftrec.detectors.likelihood import Likelihood
from siftrec.evaluate.symptoms import halves, re_identified, uniformity
from siftrec.methods.ccl4rec import CCL4Rec, importance_of
from siftrec.methods.contrast import Contrast, Views
from siftrec.methods.denoise import Denoise
from siftrec.methods.model import SequenceModel
from siftrec.methods.relation import Relation
from siftrec.methods.trained import Facts, Trained
from siftrec.nn.shares import shares
from siftrec.nn.views import make_views, plans
from siftrec.synthetic import Planted, PlantedCauses
from siftrec.train.fit import fit

OFF = Contrast(vanilla=0.0, graded=0.0, over=0.0)
TRAINING: Mapping[str, Any] = {
    "epochs": 6,
    "patience": 0,
    "batch_size": 512,
    "learning_rate": 2e-3,
    "schedule": "constant",
}
CHOICE = 11
"""The seed by which weights of the losses were chosen; no table has it."""
VANILLA = Contrast(vanilla=0.1, graded=0.0, over=0.0)
WEIGHTS = Contrast(vanilla=0.05, graded=0.2, over=0.1)
FULL = CCL4Rec(ids=False, hidden=64, contrast=WEIGHTS)
"""As wide as its vectors: all planted worlds were measured before layers were narrow (decision 0023)."""
VARIANTS: Mapping[str, CCL4Rec] = {
    "next-item": replace(FULL, contrast=OFF),
    "vanilla": replace(FULL, contrast=VANILLA),
    "full": FULL,
    "full-random": replace(FULL, views=Views(importance="random")),
    "full-oracle": replace(FULL, views=Views(importance="oracle"), weighted_targets=False),
    "full-library": replace(FULL, contrast=Contrast()),
}
MAIN = ("next-item", "vanilla", "full")
GRID = {
    "vanilla": [(each, 0.0, 0.0) for each in (0.02, 0.05, 0.1, 0.2, 0.4)],
    "full": [(0.01, 0.02, 0.05), (0.05, 0.05, 0.05), (0.05, 0.1, 0.05), (0.05, 0.2, 0.1), (0.05, 0.4, 0.2)],
}
"""λ of vanilla, graded and over: as many for one as for the other; the first of `full` are the library's."""

Trials = dict[str, tuple[CCL4Rec, Mapping[str, Any]]]
"""Variant → the method, and what is changed in `TRAINING`."""


def with_loss(**changes: Any) -> CCL4Rec:
    """The full method with other losses."""
    return replace(FULL, contrast=replace(WEIGHTS, **changes))


def with_views(**changes: Any) -> CCL4Rec:
    """The full method with other views."""
    return replace(FULL, views=replace(FULL.views, **changes))


def detecting(detector: Detector, **changes: Any) -> CCL4Rec:
    """The full method with other views, by a detector that does nothing else."""
    return replace(with_views(**changes), denoise=Denoise(targets=False, detector=detector))


def plain(methods: Mapping[str, CCL4Rec]) -> Trials:
    """Trials that change nothing in the training."""
    return {name: (method, {}) for name, method in methods.items()}


TRIALS: Mapping[str, Trials] = {
    "weights": plain(
        {
            f"{name}-{'-'.join(f'{each:g}' for each in weights)}": with_loss(
                **dict(zip(("vanilla", "graded", "over"), weights, strict=True))
            )
            for name, every in GRID.items()
            for weights in every
        }
    )
    | plain({"next-item": VARIANTS["next-item"]})
    | {f"{name}-epochs{epochs}": (VARIANTS[name], {"epochs": epochs}) for name in MAIN for epochs in (3, 12)},
    "train": plain(VARIANTS),
    "clean": plain({name: VARIANTS[name] for name in ("next-item", "full", "full-library")}),
    "encoders": plain(
        {
            f"{encoder}-{name}": replace(VARIANTS[name], encoder=cast(Any, encoder))
            for encoder in ("mean", "gru", "transformer")
            for name in MAIN
        }
    ),
    "parts": plain(
        {
            "no-vanilla": with_loss(vanilla=0.0),
            "no-graded": with_loss(graded=0.0),
            "no-over": with_loss(over=0.0),
            "strength-equal": with_loss(strength="equal"),
            "strength-distance": with_loss(strength="distance"),
            "no-mask-of-near-histories": with_loss(false_negatives=0.0),
            "projection-mlp": with_loss(projection="mlp"),
            "importance-mean_agreement": with_views(importance="mean_agreement"),
            "importance-target": with_views(importance="target"),
            "importance-attention": with_views(importance="attention"),
            "learned-0": with_views(learned=0.0),
            "strength-both": with_loss(strength="both"),
            "strength-temperature-1": with_loss(strength_temperature=1.0),
            "temperature-0.1": with_loss(temperature=0.1),
            "temperature-0.5": with_loss(temperature=0.5),
            "margin-0": with_loss(margin=0.0),
            "views-4": with_views(count=4),
            "ramp-4": with_views(ramp=4),
            "no-view-dropped": with_views(most_positive_damage=1.0, least_negative_damage=0.0),
            "importance-likelihood": detecting(Likelihood(), importance="likelihood"),
            "importance-cooccurrence": detecting(Cooccurrence(), importance="cooccurrence"),
            "importance-blend": detecting(Blend(), importance="blend"),
            "weighted-targets": replace(FULL, denoise=Denoise()),
        }
    ),
    "hardness": plain({f"kappa{kappa:g}": with_views(hardness=kappa) for kappa in (0.0, 0.5)}),
    "over": plain({f"lambda{weight:g}": with_loss(over=weight) for weight in (0.4, 1.6)}),
}
REFERENCE = {
    "parts": {"full": "train.full"},
    "hardness": {"kappa1": "train.full"},
    "over": {"lambda0": "parts.no-over", "lambda0.1": "train.full"},
}
"""Rows of a table that another command measures."""


def trained_on(planted: Planted, method: CCL4Rec, seed: int, **changes: Any) -> Trained:
    """Train for a number of epochs and keep the last weights.

    Validation interactions are trained on: of so noisy a log they are too few questions to choose an epoch by. The oracle
    ablation gets the truth as the log's weights, which nothing else reads.
    """
    split = planted.split
    log, role = split.log, np.where(split.role == VALID, TRAIN, split.role).astype(split.role.dtype)
    if method.views.importance == "oracle":
        log = Sequences(log.items, log.offsets, log.times, log.rows, (~planted.noisy).astype(np.float32))
    return fit(method, split.with_noise(log, role), planted.catalog, seed=seed, **{**TRAINING, **changes})


def untrained(planted: Planted, method: CCL4Rec, seed: int) -> Trained:
    """The method as it stands before the first step: content statistics, hubs and calibration only."""
    with seeds.initialised(seed, "weights"):
        model = method.build(planted.catalog)
    method.start_epoch(model, planted.split.fitting, 0, seed)
    model.eval()
    catalog: Catalog = planted.catalog
    return Trained(method, model, catalog.vocab, planted.split.train.counts(len(catalog)), Facts(seed=seed))


def detection(trained: Trained, planted: Planted) -> dict[str, float]:
    """AUROC of importance for clean against planted noise, and of the controls that it has to beat."""
    log = planted.split.train
    clean = ~planted.noisy[planted.split.role == TRAIN]
    relation = _relation(trained)
    items_BL = torch.from_numpy(log.window(np.arange(len(log)), log.lengths, int(log.lengths.max())).astype(np.int64))
    targets = torch.from_numpy(planted.split.valid.targets.items.astype(np.int64))[:, None]
    single = relation.space.cosine(items_BL, targets).squeeze(2)[items_BL > 0].numpy()
    everyone = relation.scores(items_BL, items_BL.shape[1])[items_BL > 0].numpy()
    return {
        "agreement": _auc(clean, importance_of(trained, log)),
        "mean agreement": _auc(clean, everyone),
        "single target": _auc(clean, single),
        "popularity": _auc(clean, trained.popularity[log.items]),
    }


def ranking(trained: Trained, planted: Planted | PlantedCauses) -> dict[str, float]:
    """GAUC and P@10 over each user's 20 clean and 80 popularity-drawn candidates."""
    part = planted.split.test
    scores_BN = _scores(trained, part.histories)
    candidates_BC = torch.from_numpy(planted.candidates[part.users].astype(np.int64))
    scores_BC = scores_BN.gather(1, candidates_BC).double()
    clean, popular = scores_BC[:, :20], scores_BC[:, 20:]
    above = (clean[:, :, None] > popular[:, None, :]).double() + 0.5 * (clean[:, :, None] == popular[:, None, :])
    best = scores_BC.topk(10, dim=1).indices
    return {"gauc": float(above.mean()), "p@10": float((best < 20).double().mean())}


def recommendations(trained: Trained, planted: Planted) -> dict[str, float]:
    """Trivial and weird: average popularity and out-of-interest rate of each user's ten best new items."""
    part = planted.split.test
    scores_BN = _scores(trained, part.histories)
    scores_BN[:, 0] = -torch.inf
    owner = torch.from_numpy(part.histories.owners)
    scores_BN[owner, torch.from_numpy(part.histories.items.astype(np.int64))] = -torch.inf
    best = scores_BN.topk(10, dim=1).indices.numpy()
    users = np.repeat(part.users, 10)
    return {
        "popularity@10": float(trained.popularity[best].mean()),
        "out of interest@10": 1.0 - float(planted.of_interest(users, best.reshape(-1)).mean()),
    }


def shield(trained: Trained, planted: Planted, seed: int = 7, slots: int = 3) -> float:
    """How far the user vector moves when 3 noise interactions are swapped, over when 3 clean ones are; low is good."""
    rng = seeds.rng(seed, "shield")
    split = planted.split
    log = split.train
    noisy = planted.noisy[split.role == TRAIN]
    able = np.flatnonzero(
        (np.bincount(log.owners[noisy], minlength=len(log)) >= slots)
        & (np.bincount(log.owners[~noisy], minlength=len(log)) >= slots)
    )
    history = log.take(able)
    wrong = noisy[np.isin(log.owners, able)]
    weights = trained.popularity / trained.popularity.sum()
    moved = []
    for which in (wrong, ~wrong):
        draw = np.where(which, rng.random(len(which)), 2.0)
        place = np.lexsort((draw, history.owners)) if len(draw) else np.empty(0, np.int64)
        first = place[(np.arange(len(place)) - history.offsets[history.owners[place]]) < slots]
        items = history.items.copy()
        items[first] = rng.choice(len(weights), size=len(first), p=weights)
        swapped = Sequences(items, history.offsets, history.times, history.rows)
        moved.append((_users(trained, swapped) - _users(trained, history)).norm(dim=1).mean())
    return float(moved[0] / moved[1])


def concordance(trained: Trained, planted: Planted, seed: int = 7) -> float:
    """How often the less damaged of two fresh views of a history is the closer one (pairs with a gap above .01)."""
    rng = seeds.generator(seed, "concordance")
    model, relation = cast(SequenceModel, trained.scorer), _relation(trained)
    log = planted.split.train
    items_BL = pad(log, np.arange(min(len(log), 1000)), 20)
    real_BL = items_BL > 0
    offers_O = relation.offers(64, rng)
    with torch.no_grad():
        importance_BL = shares(relation.scores(items_BL, 3) * cast(CCL4Rec, trained.method).views.sharpness, real_BL)
        allowed_BO = ~(items_BL[:, :, None] == offers_O).any(dim=1)
        made = make_views(
            plans(0.5, 4), importance_BL, real_BL, relation.space.cosine(items_BL, offers_O), allowed_BO, rng
        )
        views = torch.where(made.choice_BVS >= 0, offers_O[made.choice_BVS], items_BL[:, None])
        z_BVD = relation.head(model.users(views.flatten(0, 1))).view(*views.shape[:2], -1)
        similar_BV = (z_BVD * relation.head(model.users(items_BL))[:, None]).sum(dim=2)
    gap = made.damage_BV[:, None, :] - made.damage_BV[:, :, None]
    closer = similar_BV[:, :, None] - similar_BV[:, None, :]
    return float(((gap > 0.01) & (closer > 0)).sum() / (gap > 0.01).sum().clamp_min(1))


def spread(trained: Trained, planted: Planted) -> dict[str, float]:
    """Collapse and distinction: mean off-diagonal ⟨z, z'⟩, effective rank, uniformity, split-half re-identification."""
    log = planted.split.train
    z_BD = _relation(trained).head(_users(trained, log)).detach()
    cosine = z_BD @ z_BD.T
    off = (cosine.sum() - cosine.diagonal().sum()) / (len(z_BD) * (len(z_BD) - 1))
    power = torch.linalg.svdvals(z_BD - z_BD.mean(dim=0)).square()
    power = power / power.sum()
    first, second = (_users(trained, half) for half in halves(log))
    return {
        "mean cosine": float(off),
        "uniformity": uniformity(z_BD),
        "effective rank": float(torch.exp(-(power * power.clamp_min(1e-12).log()).sum())),
        "re-identified": re_identified(first, second),
    }


def _relation(trained: Trained) -> Relation:
    return cast(Relation, cast(SequenceModel, trained.scorer).extra)


def _users(trained: Trained, histories: Sequences) -> torch.Tensor:
    with torch.no_grad():
        items_BL = pad(histories, np.arange(len(histories)), trained.method.length)
        return cast(SequenceModel, trained.scorer).users(items_BL)


def _scores(trained: Trained, histories: Sequences) -> torch.Tensor:
    with torch.no_grad():
        return trained.scorer.scores(pad(histories, np.arange(len(histories)), trained.method.length))


def _auc(clean: np.ndarray, score: np.ndarray) -> float:
    return float(roc_auc_score(clean, score))
