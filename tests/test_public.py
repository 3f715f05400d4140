import ast
import inspect
import pydoc
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import siftrec
import siftrec.train.events
from siftrec.data.vocab import Vocab
from siftrec.errors import SiftrecError

HEAVY = ("torch", "polars", "pydantic", "numpy", "sklearn", "scipy", "rich")
DESIGN = [
    *("read", "features", "Catalog", "Modality", "Interactions"),
    *("Split", "leave_one_out", "LeaveOneOut", "TemporalSplit", "Predefined", "everything", "Everything"),
    *("inject", "Inject", "cleaned"),
    *("Foreign", "judge_content"),
    *(
        "judge",
        "sift",
        "noise_report",
        "NoiseReport",
        "noise_scores",
        "html",
        "detection",
        "Denoise",
        "Likelihood",
        "Cooccurrence",
        "Agreement",
        "Blend",
    ),
    *("fit", "Training", "Progress", "evaluate", "compare", "explain", "slot_weights", "save", "load", "audit"),
    *("Popularity", "ItemKNN", "Markov", "EASE", "BPRMF", "GRU4Rec", "SASRec", "FMLPRec"),
    *("CL4SRec", "CoSeRec", "EC4SRec", "CauseRec"),
    *("ADT", "HSD", "VBPR", "FREEDOM"),
    *("CCL4Rec", "Demure", "LateFusion"),
    *("DIN", "SelfAttentionRanker", "ImpressionCut", "impressions", "rated", "evaluate_impressions"),
    *("evaluate_lists",),
    *("Trained", "Recommendations", "Explanation", "Evaluation", "Judged", "Comparison", "compare_family"),
    *("Part", "Impressions", "ImpressionSplit"),
    *("NoiseScores", "ModalityNoise", "SlotWeights", "Sifted", "Injected"),
    *("SiftrecError", "UsageError", "DataError", "SettingsError", "ArtifactError", "NonFiniteLossError"),
    *("EnvironmentProblem", "Terminated"),
    *("Started", "Warned", "Stepped", "EpochEnded", "Stopped"),
]


def modules_after(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after running `code`."""
    script = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_all_is_sorted_and_is_the_public_surface() -> None:
    assert set(siftrec.__all__) == set(DESIGN)
    # ruff's order: constants, classes, functions.
    kind = {name: (not name.isupper(), not name[0].isupper(), name) for name in siftrec.__all__}
    assert siftrec.__all__ == sorted(siftrec.__all__, key=kind.__getitem__)


@pytest.mark.parametrize("name", DESIGN)
def test_every_public_name_exists_and_is_documented(name: str) -> None:
    assert getattr(siftrec, name).__doc__
    assert name in dir(siftrec)


def test_dir_offers_public_names_alone() -> None:
    """What a notebook proposes after `siftrec.`; `Any` or `importlib` are nobody's to use from here."""
    import siftrec.config  # binds the module

    assert [name for name in dir(siftrec) if not name.startswith("__")] == sorted(siftrec.__all__)
    assert "__version__" in dir(siftrec)


def test_every_error_and_event_is_public() -> None:
    for module, base in ((siftrec.errors, SiftrecError), (siftrec.train.events, object)):
        for name, kind in vars(module).items():
            if isinstance(kind, type) and kind.__module__ == module.__name__ and issubclass(kind, base):
                assert name in siftrec.__all__ or name in ("Estimate", "Read", "Validating"), (
                    "of a run or of another event"
                )


def test_type_checkers_see_the_same_names_in_the_same_homes() -> None:
    tree = ast.parse(Path(siftrec.__file__).read_text("utf-8"))
    seen = {
        name.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert seen == {name: f"siftrec.{home}" for name, home in siftrec._HOME.items()}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'SASrec'"):
        _ = siftrec.SASrec


def log() -> siftrec.Interactions:
    times = [time for _ in range(4) for time in range(4)]
    users = [user for user in "abcd" for _ in range(4)]
    return siftrec.read(pl.DataFrame({"user": users, "item": [time % 3 for time in times], "time": times}))


def popular() -> siftrec.Trained:
    return siftrec.fit(siftrec.Popularity(), siftrec.leave_one_out(log()))


def judged_by(detector: Any) -> siftrec.NoiseScores:
    return siftrec.judge(siftrec.leave_one_out(log()).train, siftrec.Catalog(log().items), detector=detector)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: siftrec.SASRec(dims=16), "SASRec.dims: no such setting; did you mean 'dim'?"),
        (lambda: siftrec.SASRec(dim=-1), "SASRec.dim: input should be greater than or equal to 1, not -1"),
        (lambda: siftrec.SASRec(16), "SASRec"),
        (
            lambda: siftrec.Denoise(detector="Blend"),
            "Denoise.detector: input should be an instance of Likelihood or Cooccurrence or Agreement or Blend, not 'Blend'",
        ),
        (lambda: siftrec.fit(siftrec.Popularity, siftrec.leave_one_out(log())), "give its settings, Popularity()"),
        (
            lambda: siftrec.fit(siftrec.Popularity(), log()),
            "Interactions is not cut; try siftrec.leave_one_out(events)",
        ),
        (
            lambda: siftrec.fit(siftrec.Popularity(), siftrec.leave_one_out(log()), log().items),
            "catalog: Series is no Catalog; try siftrec.Catalog(events.items)",
        ),
        (
            lambda: siftrec.evaluate(siftrec.fit(siftrec.Popularity(), siftrec.leave_one_out(log())), log()),
            "asks no questions; give a part of a split, e.g. split.test",
        ),
        (
            lambda: siftrec.evaluate(
                siftrec.fit(siftrec.Popularity(), siftrec.everything(log())), siftrec.everything(log()).test
            ),
            "the test part asks no question: this split holds nothing out for it; judge settings on one that does",
        ),
        (
            lambda: siftrec.fit(siftrec.Popularity(), siftrec.leave_one_out(log())).recommend([0], k=3.0),
            "k must be a whole number of at least 1, not 3.0",
        ),
        (lambda: siftrec.Catalog([1, "b"]), "ids: [1, 'b'] must all be text, or all whole numbers"),
        (lambda: siftrec.Catalog([1.5, 2]), "ids: [1.5, 2] must all be text, or all whole numbers"),
        (lambda: siftrec.Catalog("ab"), "ids: 'ab' is no list of item ids; give one, e.g. ['ab']"),
        (
            lambda: siftrec.Catalog(["a", "b"], text=np.ones((2, 3))),
            "modality 'text': is ndarray, not vectors with their ids; give sr.features(X, ids=...)",
        ),
        (lambda: siftrec.Catalog(["a"], text="title.npy"), "is str, not vectors with their ids; give sr.features"),
        (lambda: siftrec.Catalog(log()), "ids: Interactions is a whole log; give its items, Catalog(events.items)"),
        (lambda: siftrec.Catalog(log().frame), "ids: DataFrame is a table; give its column of item ids"),
        (
            lambda: siftrec.Catalog(siftrec.leave_one_out(log())),
            "ids: Split is no list of item ids; give one, e.g. ['a', 'b']",
        ),
        (lambda: siftrec.Catalog([None, "b"]), "ids: id 1 of 2 is missing"),
        (lambda: siftrec.Catalog(pl.Series([1.5])), "ids: [1.5] must all be text, or all whole numbers"),
        (lambda: siftrec.Catalog([uuid.UUID(int=1)]), "[str(each) for each in ids] is text"),
        (lambda: siftrec.Catalog(3), "ids: 3 is no list of item ids; give one, e.g. [3]"),
        (lambda: siftrec.judge(log(), siftrec.Catalog(log().items)), "is not histories in the codes of a catalog"),
        (
            lambda: siftrec.judge(siftrec.leave_one_out(log()).train, siftrec.Catalog(log().items[:1])),
            "has item code 2, the catalog 1 items",
        ),
        (
            lambda: judged_by("Blend"),
            "detector: 'Blend' is none; give the settings of one: Likelihood(), Cooccurrence()",
        ),
        (lambda: judged_by(siftrec.Blend), "detector: Blend is a class; give its settings, Blend()"),
        (lambda: judged_by(siftrec.SASRec()), "detector: SASRec is none; give the settings of one: Likelihood()"),
        (
            lambda: siftrec.judge_content(log(), siftrec.Catalog(log().items)),
            "is not histories in the codes of a catalog",
        ),
        (
            lambda: siftrec.inject(log()),
            "Interactions is no Split, and noise is planted in one; try siftrec.leave_one_",
        ),
        (lambda: siftrec.Foreign()(log(), siftrec.Catalog(log().items), 7), "Interactions is no Split"),
        (
            lambda: siftrec.sift(popular(), siftrec.leave_one_out(log())),
            "Split is no log; give what siftrec.read returns",
        ),
        (lambda: siftrec.sift(popular(), log(), detector="Blend"), "detector: 'Blend' is none; give the settings of"),
        (
            lambda: siftrec.audit(log(), detector=siftrec.Blend),
            "detector: Blend is a class; give its settings, Blend()",
        ),
        (lambda: siftrec.audit(log(), detector="Blend"), "detector: 'Blend' is none; give the settings of one"),
        (lambda: siftrec.compare(popular(), popular()), "a: Trained is no evaluation; give what sr.evaluate(model, "),
    ],
)
def test_the_usual_slips_are_told_in_one_line(call: Callable[[], object], says: str) -> None:
    """What a newcomer's first lines get wrong; an error from the depths of a library tells nobody what to write."""
    with pytest.raises(SiftrecError) as caught:
        call()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "ids",
    [
        [3, 1, 2],
        ("b", "a", "007"),
        np.array([3, 1, 2]),
        range(3),
        torch.tensor([3, 1, 2]),
        pd.Series(["b", "a"]),
    ],
)
def test_a_list_of_ids_makes_a_catalog(ids: Any) -> None:
    expected = pl.Series(np.asarray(ids).tolist())
    assert siftrec.Catalog(ids).vocab == siftrec.Catalog(expected).vocab == siftrec.Catalog(Vocab.of(expected)).vocab


def test_importing_siftrec_loads_nothing_heavy() -> None:
    assert not modules_after("import siftrec").intersection(HEAVY)


def test_evaluate_is_a_function_even_after_its_package_is_imported() -> None:
    code = "import siftrec\nimport siftrec.evaluate.rank\nassert callable(siftrec.evaluate)"
    assert "siftrec.evaluate.rank" in modules_after(code)


def test_help_of_evaluate_is_that_of_the_function() -> None:
    import siftrec.evaluate.rank
    from siftrec.evaluate import metrics
    from siftrec.evaluate.evaluation import evaluate

    told = re.sub(".\b", "", pydoc.render_doc(siftrec.evaluate))
    assert told.startswith("Python Library Documentation: Function in siftrec")
    assert f"siftrec.evaluate{inspect.signature(evaluate)}" in told
    assert "Rank the whole catalog for every question" in told
    assert "PACKAGE CONTENTS" not in told
    assert inspect.signature(siftrec.evaluate) == inspect.signature(evaluate)
    assert inspect.getdoc(siftrec.evaluate) == inspect.getdoc(evaluate)
    assert siftrec.evaluate.metrics is metrics
    assert siftrec.evaluate.rank.rank
