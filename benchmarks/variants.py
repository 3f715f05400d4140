"""The methods that are compared, by the name they have in results: defaults, D = 64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from datasets import MODALITIES

from siftrec.methods.adt import ADT
from siftrec.methods.base import Method
from siftrec.methods.bprmf import BPRMF
from siftrec.methods.causerec import CauseRec
from siftrec.methods.ccl4rec import CCL4Rec
from siftrec.methods.cl4srec import CL4SRec
from siftrec.methods.contrast import Contrast, Views
from siftrec.methods.coserec import CoSeRec
from siftrec.methods.demure import Demure
from siftrec.methods.denoise import Denoise
from siftrec.methods.ease import EASE
from siftrec.methods.ec4srec import EC4SRec
from siftrec.methods.fmlprec import FMLPRec
from siftrec.methods.freedom import FREEDOM
from siftrec.methods.gates import Gate
from siftrec.methods.gru4rec import GRU4Rec
from siftrec.methods.hsd import HSD
from siftrec.methods.itemknn import ItemKNN
from siftrec.methods.late import LateFusion
from siftrec.methods.markov import Markov
from siftrec.methods.model import Sequential
from siftrec.methods.popularity import Popularity
from siftrec.methods.sasrec import SASRec
from siftrec.methods.vbpr import VBPR
from siftrec.train.settings import Training


@dataclass(frozen=True)
class Variant:
    """One line of the accuracy table.

    Attributes:
        what: in words.
        make: gives the method.
        content: whether its catalog has the content vectors.
        seeded: whether its result depends on the seed when no noise is planted.
        whole: whether its training rows are whole histories.
        training: settings of `siftrec.Training` that are neither its defaults nor those of the data set.
        epochs: how many, where the data set has no number of its own; None = the default.
        apart: whether it reads modalities apart, so that foreign content can be shown to it.
        only: the one modality its catalog has; None = the data set's usual ones.
        data: the data sets it is run on; None = the usual ones.
        superseded: kept as it was measured, to be compared, and trained no more.
        oracle: what is known of the planted noise, as a ceiling: nothing; which targets it is (they do not count); or
            which interactions it is (they are taken out of training, of validation and of all histories); or which content
            is foreign (the gate shuts it out). `log`: nothing, but targets are weighed by a detector that was fitted on all
            interactions before the test targets; `detector`: by one that was fitted on the log without noise; `detector,
            histories`: and what it flags is taken out.
    """

    what: str
    make: Callable[[], Method]
    content: bool = False
    seeded: bool = True
    whole: bool = False
    training: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    apart: bool = False
    only: str | None = None
    data: tuple[str, ...] | None = None
    superseded: bool = False
    oracle: Literal["nothing", "targets", "interactions", "content", "log", "detector", "detector, histories"] = (
        "nothing"
    )


NEXT = Contrast(vanilla=0.0, graded=0.0, over=0.0)
VANILLA = Contrast(vanilla=0.05, graded=0.0, over=0.0)

UNGATED = Gate(kind="none")
WEIGHTED = CCL4Rec(dim=64, contrast=NEXT, denoise=Denoise())

# Where histories are long, every prefix of every one is too much to train on: methods that can ask after every position of a
# window do, as SASRec does anyway; of the others twenty rows of each user are drawn anew every epoch.
ML1M = ("ml1m", "ml1m-but-two")
WINDOWS = set(ML1M)
EVERYWHERE = ("microlens50k", *ML1M)
TRAINING: dict[str, dict[str, Any]] = {
    "microlens50k": {},
    **{key: {"rows_per_user": 20, "epochs": 24, "patience": 0} for key in ML1M},
}
"""Settings of `siftrec.Training` by data set that are not its defaults."""

CONSTANT: dict[str, Any] = {"schedule": "constant", "epochs": 40, "patience": 2}
"""How ml1m was trained before the rate fell (decision 0020)."""

WHOLE: dict[str, dict[str, Any]] = {
    "microlens50k": {"batch_size": 128, "epochs": 20},
    **{key: {"batch_size": 128} for key in ML1M},
}
"""Where rows are whole histories: 128 of MicroLens' have as many targets as 512 prefixes, so a step is as long."""

VARIANTS = {
    "popularity": Variant("Popularity", Popularity, seeded=False),
    "itemknn": Variant("ItemKNN", ItemKNN, seeded=False),
    "markov": Variant("Markov, first order", Markov, seeded=False),
    "ease": Variant("EASE", EASE, seeded=False),
    "sasrec": Variant("SASRec", lambda: SASRec(dim=64), whole=True, data=EVERYWHERE),
    "bprmf": Variant("BPR-MF", lambda: BPRMF(dim=64), epochs=20),
    "gru4rec": Variant("GRU4Rec", lambda: GRU4Rec(dim=64), whole=True),
    "gsasrec": Variant("gSASRec", lambda: SASRec(dim=64, objective="gbce", negatives=256), whole=True),
    "fmlprec": Variant("FMLP-Rec", lambda: FMLPRec(dim=64), epochs=20),
    "sasrec-prefixes": Variant("SASRec, every prefix a row", lambda: SASRec(dim=64, rows="prefix"), epochs=20),
    "sasrec-content-prefixes": Variant(
        "SASRec with content, every prefix a row",
        lambda: SASRec(dim=64, rows="prefix", content=True),
        content=True,
        epochs=20,
    ),
    "sasrec-content": Variant("SASRec with content", lambda: SASRec(dim=64, content=True), content=True, whole=True),
    "cl4srec": Variant("CL4SRec", lambda: CL4SRec(base=SASRec(dim=64)), whole=True),
    "coserec": Variant("CoSeRec", lambda: CoSeRec(base=SASRec(dim=64)), whole=True),
    "ec4srec": Variant("EC4SRec", lambda: EC4SRec(base=SASRec(dim=64)), whole=True),
    "causerec": Variant("CauseRec around SASRec", lambda: CauseRec(base=SASRec(dim=64)), whole=True),
    "tce": Variant("T-CE around SASRec", lambda: ADT(base=SASRec(dim=64)), whole=True),
    "rce": Variant("R-CE around SASRec", lambda: ADT(base=SASRec(dim=64), objective="reweighted"), whole=True),
    "hsd": Variant("HSD-style sieve before SASRec", lambda: HSD(base=SASRec(dim=64)), epochs=20),
    "vbpr": Variant("VBPR", lambda: VBPR(dim=32, content_dim=32), content=True, epochs=20),
    "two-tower": Variant(
        "two-tower: id and content, mean of the history",
        lambda: wide(CCL4Rec(dim=64, encoder="mean", contrast=NEXT)),
        content=True,
    ),
    "freedom": Variant("FREEDOM", lambda: FREEDOM(dim=64), content=True, epochs=20),
    "ccl4rec-next": Variant(
        "CCL4Rec, next-item only", lambda: CCL4Rec(dim=64, contrast=NEXT), content=True, data=EVERYWHERE
    ),
    "ccl4rec-next-windows": Variant(
        "CCL4Rec, next-item only, windows",
        lambda: CCL4Rec(dim=64, contrast=NEXT, rows="sequence"),
        content=True,
        whole=True,
    ),
    "ccl4rec-vanilla": Variant("CCL4Rec, + vanilla contrast", lambda: CCL4Rec(dim=64, contrast=VANILLA), content=True),
    "ccl4rec-random": Variant(
        "CCL4Rec, full, random importance", lambda: CCL4Rec(dim=64, views=Views(importance="random")), content=True
    ),
    "ccl4rec": Variant("CCL4Rec, full", lambda: CCL4Rec(dim=64), content=True, data=EVERYWHERE),
    "ccl4rec-denoise": Variant(
        "CCL4Rec, next-item only, weighted targets",
        lambda: CCL4Rec(dim=64, contrast=NEXT, denoise=Denoise()),
        content=True,
    ),
    "ccl4rec-denoise-pooling": Variant(
        "CCL4Rec, next-item only, weighted targets, noise-aware pooling",
        lambda: CCL4Rec(dim=64, contrast=NEXT, denoise=Denoise(pooling=True)),
        content=True,
    ),
    "ccl4rec-denoise-contrast": Variant(
        "CCL4Rec, full, weighted targets, importance by likelihood",
        lambda: CCL4Rec(dim=64, denoise=Denoise(), views=Views(importance="likelihood")),
        content=True,
    ),
    "oracle-targets": Variant(
        "CCL4Rec, next-item only, told which targets are noise",
        lambda: CCL4Rec(dim=64, contrast=NEXT),
        content=True,
        oracle="targets",
    ),
    "ccl4rec-weighed": Variant(
        "CCL4Rec, next-item only, on the log weighed beforehand",
        lambda: CCL4Rec(dim=64, contrast=NEXT),
        content=True,
        oracle="log",
    ),
    "oracle-detector": Variant(
        "CCL4Rec, next-item only, weighed by a detector that saw the clean log",
        lambda: CCL4Rec(dim=64, contrast=NEXT),
        content=True,
        oracle="detector",
    ),
    "oracle-detector-histories": Variant(
        "the same, and without what that detector flags",
        lambda: CCL4Rec(dim=64, contrast=NEXT),
        content=True,
        oracle="detector, histories",
    ),
    "oracle-all": Variant(
        "CCL4Rec, next-item only, told which interactions are noise",
        lambda: CCL4Rec(dim=64, contrast=NEXT),
        content=True,
        oracle="interactions",
    ),
    "ccl4rec-ids-next": Variant("CCL4Rec without content, next-item only", lambda: CCL4Rec(dim=64, contrast=NEXT)),
    "ccl4rec-ids": Variant("CCL4Rec without content, full", lambda: CCL4Rec(dim=64)),
}

SUPERSEDED = ("sasrec", "sasrec-content", "ccl4rec-next", "ccl4rec-vanilla", "ccl4rec-random", "ccl4rec")
VARIANTS |= {
    f"{name}-constant": replace(
        VARIANTS[name], what=f"{VARIANTS[name].what}, constant rate", training=CONSTANT, data=("ml1m",), superseded=True
    )
    for name in SUPERSEDED
}
VARIANTS |= {
    f"{name}-recent": Variant(
        f"{VARIANTS[name].what}, recent interaction apart",
        lambda contrast=contrast: CCL4Rec(dim=64, encoder="recent", contrast=contrast),
        content=True,
        training={"epochs": 8},
        data=ML1M,
    )
    for name, contrast in (("ccl4rec-next", NEXT), ("ccl4rec", Contrast()))
}

WIDE = ("ccl4rec-next", "ccl4rec-denoise", "ccl4rec-weighed", "ccl4rec")
VARIANTS |= {
    f"{name}-wide": replace(
        VARIANTS[name],
        what=f"{VARIANTS[name].what}, layers as wide as vectors",
        make=lambda name=name: wide(cast(CCL4Rec, VARIANTS[name].make())),
        data=("microlens50k",),
        superseded=True,
    )
    for name in WIDE
}

for _name in dict.fromkeys(name for names in MODALITIES.values() for name in names):
    VARIANTS[f"late-{_name}"] = Variant(
        f"late fusion, {_name} alone", lambda: LateFusion(dim=64), content=True, apart=True, only=_name
    )
VARIANTS |= {
    "late": Variant(
        "late fusion, sum of modalities",
        lambda: Demure(base=LateFusion(dim=64), gate=UNGATED),
        content=True,
        apart=True,
    ),
    "demure-attention": Variant(
        "late fusion, attention gate",
        lambda: Demure(base=LateFusion(dim=64), gate=Gate(kind="attention")),
        content=True,
        apart=True,
    ),
    "demure": Variant("Demure", lambda: Demure(base=LateFusion(dim=64)), content=True, apart=True),
    "demure-oracle": Variant(
        "Demure, told which content is foreign",
        lambda: Demure(base=LateFusion(dim=64), gate=Gate(kind="oracle")),
        content=True,
        apart=True,
        oracle="content",
    ),
    **{
        f"{name}-content": Variant(
            f"{what}, content alone",
            lambda kind=kind: Demure(base=LateFusion(dim=64, ids=False, lift="none"), gate=Gate(kind=kind)),
            content=True,
            apart=True,
            oracle="content" if kind == "oracle" else "nothing",
        )
        for name, what, kind in (
            ("late", "late fusion, sum of modalities", "none"),
            ("demure-attention", "late fusion, attention gate", "attention"),
            ("demure", "Demure", "softmax"),
            ("demure-oracle", "Demure, told which content is foreign", "oracle"),
        )
    },
    "ccl4rec-denoise-ungated": Variant(
        "CCL4Rec, weighted targets, sum of what was shown",
        lambda: Demure(base=WEIGHTED, gate=UNGATED),
        content=True,
        apart=True,
    ),
    "demure-ccl4rec-denoise": Variant(
        "Demure + CCL4Rec, weighted targets", lambda: Demure(base=WEIGHTED), content=True, apart=True
    ),
    "demure-ccl4rec": Variant("Demure + CCL4Rec, full", lambda: Demure(base=CCL4Rec(dim=64)), content=True, apart=True),
}


def method_of(data: str, name: str) -> Method:
    """The method of a variant, as it is trained on a data set."""
    method = VARIANTS[name].make()
    return windowed(method) if data in WINDOWS else method


def wide(method: CCL4Rec) -> CCL4Rec:
    """With layers as wide as vectors, as they were before decision 0023."""
    return replace(method, hidden=method.dim)


def windowed(method: Method) -> Method:
    """CCL4Rec, and Demure around it, asked after every position of windows; any other method as it is.

    So are the rows of CCL4Rec where it has a user vector after the whole history alone: with pooling, or by the mean. Its
    layers are wide: their width was chosen where rows are prefixes.
    """
    if isinstance(method, CCL4Rec):
        whole = method.encoder == "mean" or (method.denoise is not None and method.denoise.pooling)
        return wide(method if whole else replace(method, rows="sequence"))
    if isinstance(method, Demure):
        return replace(method, base=cast(Sequential, windowed(method.base)))
    return method


def training_of(data: str, name: str) -> Training:
    """How a variant is trained on a data set: the defaults, but for what the data set and the method ask for."""
    variant = VARIANTS[name]
    before, now = (getattr(method, "rows", None) for method in (variant.make(), method_of(data, name)))
    whole = variant.whole or now != before
    own = {} if variant.epochs is None else {"epochs": variant.epochs}
    return Training(**(own | TRAINING[data] | (WHOLE[data] if whole else {}) | variant.training))


SAME_TRAINING = (
    ("sasrec", "markov"),
    ("ccl4rec", "markov"),
    ("ccl4rec", "sasrec"),
    ("ccl4rec", "sasrec-content"),
    *((f"{name}-recent", other) for name in ("ccl4rec", "ccl4rec-next") for other in ("sasrec", name)),
    ("ccl4rec-recent", "ccl4rec-next-recent"),
    ("ccl4rec", "sasrec-prefixes"),
    ("ccl4rec", "sasrec-content-prefixes"),
    ("ccl4rec-denoise", "sasrec-content-prefixes"),
    ("sasrec-prefixes", "sasrec"),
    ("ccl4rec", "bprmf"),
    ("ccl4rec", "gru4rec"),
    ("ccl4rec", "gsasrec"),
    ("ccl4rec", "fmlprec"),
    ("ccl4rec", "cl4srec"),
    ("ccl4rec", "coserec"),
    ("ccl4rec", "ec4srec"),
    ("ccl4rec", "causerec"),
    ("ccl4rec", "vbpr"),
    ("ccl4rec", "two-tower"),
    ("ccl4rec", "freedom"),
    ("ccl4rec-ids", "sasrec"),
    ("ccl4rec-next-windows", "ccl4rec-next"),
    *((name, f"{name}-wide") for name in WIDE),
    ("ccl4rec-next", "sasrec"),
    ("ccl4rec-vanilla", "ccl4rec-next"),
    ("ccl4rec", "ccl4rec-next"),
    ("ccl4rec", "ccl4rec-vanilla"),
    ("ccl4rec", "ccl4rec-random"),
    ("ccl4rec-ids", "ccl4rec-ids-next"),
    ("ccl4rec-denoise", "ccl4rec-next"),
    ("ccl4rec-denoise", "tce"),
    ("ccl4rec-denoise", "rce"),
    ("ccl4rec-denoise", "hsd"),
    ("ccl4rec-denoise-pooling", "ccl4rec-denoise"),
    ("ccl4rec-denoise-contrast", "ccl4rec-denoise"),
    ("demure", "late"),
    ("demure", "demure-attention"),
    ("demure-attention", "late"),
    ("demure-oracle", "late"),
    ("demure-content", "late-content"),
    ("demure-attention-content", "late-content"),
    ("demure-oracle-content", "late-content"),
    ("demure-ccl4rec-denoise", "ccl4rec-denoise-ungated"),
    ("demure-ccl4rec-denoise", "demure"),
    ("ccl4rec-weighed", "ccl4rec-denoise"),
    ("oracle-detector", "ccl4rec-next"),
    ("oracle-detector-histories", "oracle-detector"),
    ("oracle-targets", "ccl4rec-next"),
    ("oracle-all", "ccl4rec-next"),
    ("sasrec", "rectools-sasrec"),
    ("ccl4rec", "rectools-sasrec"),
)
PAIRS = SAME_TRAINING + tuple(
    (f"{a}-constant", b if b == "markov" else f"{b}-constant")
    for a, b in SAME_TRAINING
    if a in SUPERSEDED and b in ("markov", *SUPERSEDED)
)
"""What is compared in each setting; `families` says what is corrected together."""
