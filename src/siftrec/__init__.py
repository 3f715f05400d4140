"""siftrec: recommenders that find, show and set aside the noise in behaviour logs.

    import siftrec as sr

    events = sr.read("events.parquet", user="uid", item="vid", time="ts").core(5)
    catalog = sr.Catalog(events.items, text=sr.features("title.npy", ids="items.tsv"))
    split = sr.leave_one_out(events)
    model = sr.fit(sr.CCL4Rec(dim=64), split, catalog, epochs=10, seed=7)
    print(sr.evaluate(model, split.test))

What functions return, errors (`SiftrecError` and its kinds) and training's events (`EpochEnded`, ...) are here by name too.
Names are imported when first used, so `import siftrec` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siftrec.artifact import load, save
    from siftrec.audit.audit import audit
    from siftrec.data.catalog import Catalog, Modality
    from siftrec.data.cleaned import cleaned
    from siftrec.data.exposure import ImpressionCut, ImpressionSplit, impressions, rated
    from siftrec.data.impressions import Impressions
    from siftrec.data.interactions import Interactions
    from siftrec.data.read import read
    from siftrec.data.split import Everything, LeaveOneOut, Part, Predefined, Split, everything, leave_one_out
    from siftrec.data.temporal import TemporalSplit
    from siftrec.detectors.agreement import Agreement
    from siftrec.detectors.blend import Blend
    from siftrec.detectors.calibrate import NoiseScores
    from siftrec.detectors.cooccurrence import Cooccurrence
    from siftrec.detectors.likelihood import Likelihood
    from siftrec.detectors.scored import noise_scores
    from siftrec.errors import (
        ArtifactError,
        DataError,
        EnvironmentProblem,
        NonFiniteLossError,
        SettingsError,
        SiftrecError,
        Terminated,
        UsageError,
    )
    from siftrec.evaluate.compare import Comparison, compare, compare_family
    from siftrec.evaluate.evaluation import Evaluation, evaluate
    from siftrec.evaluate.impressions import Judged, evaluate_impressions
    from siftrec.evaluate.lists import evaluate_lists
    from siftrec.methods.adt import ADT
    from siftrec.methods.answers import Recommendations
    from siftrec.methods.bprmf import BPRMF
    from siftrec.methods.causerec import CauseRec
    from siftrec.methods.ccl4rec import CCL4Rec
    from siftrec.methods.cl4srec import CL4SRec
    from siftrec.methods.coserec import CoSeRec
    from siftrec.methods.demure import Demure, SlotWeights, slot_weights
    from siftrec.methods.denoise import Denoise
    from siftrec.methods.din import DIN
    from siftrec.methods.ease import EASE
    from siftrec.methods.ec4srec import EC4SRec
    from siftrec.methods.explain import Explanation, explain
    from siftrec.methods.fmlprec import FMLPRec
    from siftrec.methods.freedom import FREEDOM
    from siftrec.methods.gru4rec import GRU4Rec
    from siftrec.methods.hsd import HSD
    from siftrec.methods.itemknn import ItemKNN
    from siftrec.methods.late import LateFusion
    from siftrec.methods.markov import Markov
    from siftrec.methods.popularity import Popularity
    from siftrec.methods.sasrec import SASRec
    from siftrec.methods.selfattention import SelfAttentionRanker
    from siftrec.methods.trained import Trained
    from siftrec.methods.vbpr import VBPR
    from siftrec.modality.precomputed import features
    from siftrec.noise.content import ModalityNoise, judge_content
    from siftrec.noise.foreign import Foreign
    from siftrec.noise.inject import Inject, Injected, inject
    from siftrec.noise.judge import judge
    from siftrec.noise.measure import detection
    from siftrec.noise.sift import Sifted, sift
    from siftrec.report.html import html
    from siftrec.report.noise import NoiseReport, noise_report
    from siftrec.train.events import EpochEnded, Started, Stepped, Stopped, Warned
    from siftrec.train.fit import fit
    from siftrec.train.progress import Progress
    from siftrec.train.settings import Training

__version__ = "0.1.0"

__all__ = [
    "ADT",
    "BPRMF",
    "DIN",
    "EASE",
    "FREEDOM",
    "HSD",
    "VBPR",
    "Agreement",
    "ArtifactError",
    "Blend",
    "CCL4Rec",
    "CL4SRec",
    "Catalog",
    "CauseRec",
    "CoSeRec",
    "Comparison",
    "Cooccurrence",
    "DataError",
    "Demure",
    "Denoise",
    "EC4SRec",
    "EnvironmentProblem",
    "EpochEnded",
    "Evaluation",
    "Everything",
    "Explanation",
    "FMLPRec",
    "Foreign",
    "GRU4Rec",
    "ImpressionCut",
    "ImpressionSplit",
    "Impressions",
    "Inject",
    "Injected",
    "Interactions",
    "ItemKNN",
    "Judged",
    "LateFusion",
    "LeaveOneOut",
    "Likelihood",
    "Markov",
    "Modality",
    "ModalityNoise",
    "NoiseReport",
    "NoiseScores",
    "NonFiniteLossError",
    "Part",
    "Popularity",
    "Predefined",
    "Progress",
    "Recommendations",
    "SASRec",
    "SelfAttentionRanker",
    "SettingsError",
    "Sifted",
    "SiftrecError",
    "SlotWeights",
    "Split",
    "Started",
    "Stepped",
    "Stopped",
    "TemporalSplit",
    "Terminated",
    "Trained",
    "Training",
    "UsageError",
    "Warned",
    "audit",
    "cleaned",
    "compare",
    "compare_family",
    "detection",
    "evaluate",
    "evaluate_impressions",
    "evaluate_lists",
    "everything",
    "explain",
    "features",
    "fit",
    "html",
    "impressions",
    "inject",
    "judge",
    "judge_content",
    "leave_one_out",
    "load",
    "noise_report",
    "noise_scores",
    "rated",
    "read",
    "save",
    "sift",
    "slot_weights",
]

_HOME = {
    "ADT": "methods.adt",
    "BPRMF": "methods.bprmf",
    "DIN": "methods.din",
    "EASE": "methods.ease",
    "FREEDOM": "methods.freedom",
    "HSD": "methods.hsd",
    "VBPR": "methods.vbpr",
    "Agreement": "detectors.agreement",
    "ArtifactError": "errors",
    "Blend": "detectors.blend",
    "CCL4Rec": "methods.ccl4rec",
    "CL4SRec": "methods.cl4srec",
    "Catalog": "data.catalog",
    "CauseRec": "methods.causerec",
    "CoSeRec": "methods.coserec",
    "Comparison": "evaluate.compare",
    "Cooccurrence": "detectors.cooccurrence",
    "DataError": "errors",
    "Demure": "methods.demure",
    "Denoise": "methods.denoise",
    "EC4SRec": "methods.ec4srec",
    "EnvironmentProblem": "errors",
    "EpochEnded": "train.events",
    "Evaluation": "evaluate.evaluation",
    "Everything": "data.split",
    "Explanation": "methods.explain",
    "FMLPRec": "methods.fmlprec",
    "Foreign": "noise.foreign",
    "GRU4Rec": "methods.gru4rec",
    "ImpressionCut": "data.exposure",
    "ImpressionSplit": "data.exposure",
    "Impressions": "data.impressions",
    "Inject": "noise.inject",
    "Injected": "noise.inject",
    "Interactions": "data.interactions",
    "ItemKNN": "methods.itemknn",
    "Judged": "evaluate.impressions",
    "LateFusion": "methods.late",
    "LeaveOneOut": "data.split",
    "Likelihood": "detectors.likelihood",
    "Markov": "methods.markov",
    "Modality": "data.catalog",
    "ModalityNoise": "noise.content",
    "NoiseReport": "report.noise",
    "NoiseScores": "detectors.calibrate",
    "NonFiniteLossError": "errors",
    "Part": "data.split",
    "Popularity": "methods.popularity",
    "Predefined": "data.split",
    "Progress": "train.progress",
    "Recommendations": "methods.answers",
    "SASRec": "methods.sasrec",
    "SelfAttentionRanker": "methods.selfattention",
    "SettingsError": "errors",
    "Sifted": "noise.sift",
    "SiftrecError": "errors",
    "SlotWeights": "methods.demure",
    "Split": "data.split",
    "Started": "train.events",
    "Stepped": "train.events",
    "Stopped": "train.events",
    "TemporalSplit": "data.temporal",
    "Terminated": "errors",
    "Trained": "methods.trained",
    "Training": "train.settings",
    "UsageError": "errors",
    "Warned": "train.events",
    "audit": "audit.audit",
    "cleaned": "data.cleaned",
    "compare": "evaluate.compare",
    "compare_family": "evaluate.compare",
    "detection": "noise.measure",
    "evaluate": "evaluate.evaluation",
    "evaluate_impressions": "evaluate.impressions",
    "evaluate_lists": "evaluate.lists",
    "everything": "data.split",
    "explain": "methods.explain",
    "features": "modality.precomputed",
    "fit": "train.fit",
    "html": "report.html",
    "impressions": "data.exposure",
    "inject": "noise.inject",
    "judge": "noise.judge",
    "judge_content": "noise.content",
    "leave_one_out": "data.split",
    "load": "artifact",
    "noise_report": "report.noise",
    "noise_scores": "detectors.scored",
    "rated": "data.exposure",
    "read": "data.read",
    "save": "artifact",
    "sift": "noise.sift",
    "slot_weights": "methods.demure",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'siftrec' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"siftrec.{_HOME[name]}"), name)
    return globals().get(name, found)  # a package that is the function, too: importing it has bound its name


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
