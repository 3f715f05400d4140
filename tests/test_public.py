import ast
import subprocess
import sys
from pathlib import Path

import pytest

import siftrec

HEAVY = ("torch", "polars", "pydantic", "numpy", "sklearn", "scipy", "rich")
DESIGN = [
    *("read", "features", "Catalog", "Modality", "Interactions"),
    *("Split", "leave_one_out", "LeaveOneOut", "TemporalSplit", "Predefined", "inject", "Inject"),
    *("Foreign", "judge_content"),
    *("judge", "sift", "detection", "Denoise", "Likelihood", "Cooccurrence", "Agreement", "Blend"),
    *("fit", "Training", "evaluate", "compare", "explain", "slot_weights", "save", "load"),
    *("Popularity", "ItemKNN", "Markov", "EASE", "BPRMF", "GRU4Rec", "SASRec", "FMLPRec"),
    *("CL4SRec", "CoSeRec", "EC4SRec", "CauseRec"),
    *("ADT", "HSD", "VBPR", "FREEDOM"),
    *("CCL4Rec", "Demure", "LateFusion"),
    *("DIN", "SelfAttentionRanker", "ImpressionCut", "impressions", "rated", "evaluate_impressions"),
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


def test_importing_siftrec_loads_nothing_heavy() -> None:
    assert not modules_after("import siftrec").intersection(HEAVY)


def test_evaluate_is_a_function_even_after_its_package_is_imported() -> None:
    code = "import siftrec\nimport siftrec.evaluate.rank\nassert callable(siftrec.evaluate)"
    assert "siftrec.evaluate.rank" in modules_after(code)
