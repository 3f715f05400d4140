import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commanded import refused
from siftrec import config
from siftrec.data.split import LeaveOneOut
from siftrec.data.temporal import TemporalSplit
from siftrec.errors import SettingsError, UsageError
from siftrec.methods.itemknn import ItemKNN
from siftrec.methods.popularity import Popularity
from siftrec.methods.sasrec import SASRec
from siftrec.settings import describe, resolve, settings, toml_lines

MINIMAL = '[data]\npath = "events.csv"\n[method]\nuse = "siftrec:Popularity"\n'


@settings
class Wrapper:
    """A method around a method, as Demure-like methods are."""

    base: Any = None
    sizes: tuple[int, ...] = (1, 2)
    length: int = 5

    def fit(self, data: Any) -> Any:
        return self.base.fit(data)

    def restore(self, tensors: Any) -> Any:
        return self.base.restore(tensors)


def write(folder: Path, text: str) -> Path:
    path = folder / "exp.toml"
    path.write_text(text, "utf-8")
    return path


def events(folder: Path, users: int = 12, items: int = 9) -> Path:
    rng = np.random.default_rng(0)
    rows = [(f"u{u}", f"i{i:02d}", t) for u in range(users) for t, i in enumerate(rng.permutation(items)[:5])]
    path = folder / "events.csv"
    pl.DataFrame(rows, schema=["user", "item", "time"], orient="row").write_csv(path)
    return path


def test_defaults_are_filled_in_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    experiment = config.load(write(tmp_path, MINIMAL))
    assert experiment.seed == 7
    assert experiment.data.path == str(tmp_path / "events.csv")
    assert experiment.split == LeaveOneOut()
    assert isinstance(experiment.method, Popularity)
    assert experiment.evaluate.cutoffs == (5, 10, 20, 50)


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ("sed = 3", "sed", "did you mean 'seed'?"),
        ("seed = true", "seed", "not True"),
        ("seed = -1", "seed", "greater than or equal to 0"),
        ('seed = "7"', "seed", "not '7'"),
        ("evaluate = 3", "evaluate", "must be a table, [evaluate], not 3"),
        ("[evaluate]\ncutofs = [5]", "evaluate.cutofs", "did you mean 'cutoffs'?"),
        ("[evaluate]\ncutoffs = []", "evaluate.cutoffs", "at least 1 item"),
        ("[evaluate]\ncutoffs = [0]", "evaluate.cutoffs", "greater than or equal to 1"),
        ("[evaluate]\ncutoffs = [true]", "evaluate.cutoffs", "not True"),
        ("[train]\nepochs = 2.5", "train.epochs", "not 2.5"),
        ("[train]\nepocs = 2", "train.epocs", "did you mean 'epochs'?"),
        ("[train]\nmetric = 'foo'", "train.metric", "with a cut-off, e.g. ndcg@10, or gauc or auc, not 'foo'"),
        ("[train]\nmetric = 'NDCG@10'", "train.metric", "must be in lower case, 'ndcg@10', not 'NDCG@10'"),
        ("[train]\nthreads = 1025", "train.threads", "less than or equal to 1024"),
        ("[evaluate]\ncutoffs = 7", "evaluate.cutoffs", "must be a list, not 7"),
        ("[modality]\ntext = 3", "modality.text", "must be a table"),
        ("[modality.text]\nids = 'a.tsv'", "modality.text.path", "required"),
        ("[modality.text]\npath = 'a.npy'\nid = 'a.tsv'", "modality.text.id", "did you mean 'ids'?"),
        ("[modality.ids]\npath = 'a.npy'", "modality.ids", "cannot name a modality"),
        ("[split]\nuse = 'siftrec:Popularity'", "split.use", "is not a split"),
        ("[split]\nuse = 'siftrec:LeaveOneOutt'", "split.use", "did you mean 'LeaveOneOut'?"),
        ("[split]\nuse = 'siftrec:TemporalSplit'\ntest = 1.5", "split.test", "less than or equal to 1"),
        ("[split]\ntest = 0.1", "split.use", "missing"),
        ("[split]\nuse = 3", "split.use", "must be text"),
        ("[split]\nuse = 'leaveoneout'", "split.use", "did you mean 'siftrec:LeaveOneOut'?"),
        ("[split]\nuse = 'nothing like it'", "split.use", "e.g. 'siftrec:CCL4Rec'"),
        ("[split]\nuse = 'nowhere_at_all:X'", "split.use", "cannot import"),
        ("[data.inject]\nrho = 1.5", "data.inject.rho", "less than or equal to 0.9"),
        ("[data.inject]\nmecanism = 'replace'", "data.inject.mecanism", "did you mean 'mechanism'?"),
        ("[data.inject]\nmechanism = 'shuffle'", "data.inject.mechanism", "not 'shuffle'"),
    ],
)
def test_wrong_keys_and_values_are_refused_by_path(
    tmp_path: Path, change: str, path: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    head, tail = (MINIMAL, change) if change.startswith("[") else (change, MINIMAL)
    asked = write(tmp_path, f"{head}\n{tail}")
    with pytest.raises(SettingsError) as caught:
        config.load(asked)
    assert caught.value.path == path
    assert says in str(caught.value)
    assert refused(["train", str(asked), "-o", str(tmp_path / "run")], 3, tmp_path, capsys) == str(caught.value)


@pytest.mark.parametrize(
    ("override", "path", "says"),
    [
        ("method.use=siftrec:LeaveOneOut", "method.use", "is not a method"),
        ("method.use=siftrec:read", "method.use", "not a settings class"),
        ("method.nope=1", "method.nope", "unknown key"),
        ("data.core=0", "data.core", "greater than or equal to 1"),
        ("data.core=true", "data.core", "not True"),
        ("data.path=3", "data.path", "not 3"),
        ("data.path.x=3", "data.path.x", "is a value, not a table"),
        ("data.inject=3", "data.inject", "not 3"),
    ],
)
def test_overrides_are_checked_like_the_file(
    tmp_path: Path, override: str, path: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = write(tmp_path, MINIMAL)
    with pytest.raises(SettingsError) as caught:
        config.load(asked, [override])
    assert caught.value.path == path
    assert says in str(caught.value)
    command = ["train", str(asked), "-o", str(tmp_path / "run"), "--set", override]
    assert refused(command, 3, tmp_path, capsys) == str(caught.value)


def test_a_typo_in_a_nested_method_is_named_in_full(tmp_path: Path) -> None:
    text = f'[data]\npath = "e.csv"\n[method]\nuse = "{__name__}:Wrapper"\n'
    with pytest.raises(SettingsError) as caught:
        config.load(write(tmp_path, text + '[method.base]\nuse = "siftrec:ItemKNN"\nlenth = 3\n'))
    assert caught.value.path == "method.base.lenth"
    assert "did you mean 'length'?" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "known", "others"),
    [
        ("method.use", {"SASRec", "Popularity", "CCL4Rec"}, {"Likelihood", "Training", "LeaveOneOut"}),
        ("method.base.use", {"GRU4Rec"}, {"Denoise"}),
        ("split.use", {"LeaveOneOut", "ImpressionCut"}, {"SASRec", "Split", "Inject"}),
        ("method.denoise.detector.use", {"Likelihood"}, {"DataError", "Trained"}),
    ],
)
def test_a_name_that_is_not_there_is_answered_by_those_that_would_do(
    path: str, known: set[str], others: set[str]
) -> None:
    with pytest.raises(SettingsError, match="has no 'Zzz'; known: ") as caught:
        resolve("siftrec:Zzz", path)
    named = set(str(caught.value).partition("known: ")[2].split(", "))
    assert known <= named
    assert not named & (others | {"fit", "UsageError"})


@pytest.mark.parametrize("section", ["data", "method"])
def test_a_missing_table_is_named(tmp_path: Path, section: str) -> None:
    text = MINIMAL.replace(f"[{section}]", f"[old.{section}]")
    kept = {name: table for name, table in tomllib.loads(text).items() if name != "old"}
    with pytest.raises(SettingsError, match=f"^{section}: missing"):
        config.load(write(tmp_path, "".join(f'[{n}]\npath = "x"\nuse = "siftrec:Popularity"\n' for n in kept)))


def test_broken_files_are_refused_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"exp\.toml:2:8: not TOML: "):
        config.load(write(tmp_path, "seed = 7\nseed = = 3\n"))
    with pytest.raises(SettingsError, match=r"no such file; `siftrec init"):
        config.load(tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        config.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        config.load(tmp_path / "latin.toml")


def test_brackets_nested_too_deep_are_not_toml(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"exp\.toml: not TOML: its brackets are nested too deep"):
        config.load(write(tmp_path, "x = " + "[" * 5000))


@pytest.mark.parametrize("key", ["data.path", "data.titles", "modality.text.path", "modality.text.ids"])
def test_the_home_of_nobody_is_named_by_key(tmp_path: Path, key: str) -> None:
    paths = {"data.path": "a.csv", "data.titles": "t.csv", "modality.text.path": "a.npy", "modality.text.ids": "i.txt"}
    lines = "".join(f"{each} = '{'~no-such-user/x' if each == key else path}'\n" for each, path in paths.items())
    with pytest.raises(SettingsError, match=f"{key}: '~no-such-user/x' names a user who has no home here"):
        config.load(write(tmp_path, f"{lines}[method]\nuse = 'siftrec:Popularity'\n"))


@pytest.mark.parametrize("override", ["method.dim", "=3", "method..dim=3", ".a=1"])
def test_an_override_without_key_or_value_is_a_usage_error(tmp_path: Path, override: str) -> None:
    with pytest.raises(UsageError, match="key=value"):
        config.load(write(tmp_path, MINIMAL), [override])


def test_overrides_are_toml_values_or_text(tmp_path: Path) -> None:
    overrides = ["seed=11", "evaluate.cutoffs=[1, 3]", "split.use=siftrec:TemporalSplit", "split.test=0.2"]
    experiment = config.load(write(tmp_path, MINIMAL), [*overrides, "data.user=uid", "data.item='3'"])
    assert (experiment.seed, experiment.evaluate.cutoffs) == (11, (1, 3))
    assert experiment.split == TemporalSplit(test=0.2)
    assert (experiment.data.user, experiment.data.item) == ("uid", "3")


def test_a_complete_experiment_survives_the_round_trip(tmp_path: Path) -> None:
    text = f"""
seed = 3
[data]
path = "events.csv"
item = 'a "quoted" name'
core = 2
original = "raw.csv"
titles = "titles.csv"
inject = {{mechanism = "replace", rho = 0.25}}
[split]
use = "siftrec:TemporalSplit"
test = 0.2
[modality.title_text]
path = "t.npy"
ids = "items.tsv"
[method]
use = "{__name__}:Wrapper"
sizes = [3, 4]
[method.base]
use = "siftrec:ItemKNN"
[train]
epochs = 3
"""
    experiment = config.load(write(tmp_path, text))
    assert isinstance(experiment.method, Wrapper)
    assert isinstance(experiment.method.base, ItemKNN)
    dumped = config.dump(experiment)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert config.load(write(elsewhere, dumped)) == experiment
    assert config.dump(config.load(elsewhere / "exp.toml")) == dumped
    assert tomllib.loads(dumped)["evaluate"]["cutoffs"] == [5, 10, 20, 50]


scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
tables = st.recursive(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), scalars | st.lists(scalars, max_size=3)),
    lambda inner: st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), scalars | inner, max_size=4),
    max_leaves=10,
)


@given(tables)
def test_any_table_is_written_as_toml_that_reads_back(table: dict[str, Any]) -> None:
    assert tomllib.loads("\n".join(toml_lines(table))) == table


def test_load_data_reads_cuts_and_plants_noise(tmp_path: Path) -> None:
    events(tmp_path)
    path = write(tmp_path, MINIMAL + "[evaluate]\ncutoffs = [3]\n")
    split, catalog = config.load(path).load_data()
    assert len(catalog) == 10
    assert split.protocol == "leave-one-out"
    noisy = config.load(path, ["data.inject.rho=0.5"]).prepare()
    assert noisy.injected is not None
    assert noisy.split.fingerprint["test"] == split.fingerprint["test"]
    assert noisy.split.fingerprint["train"] != split.fingerprint["train"]


def test_of_a_cleaned_log_the_whole_one_is_cut_and_has_the_core(tmp_path: Path) -> None:
    """Rows that the core leaves out of the whole log are no noise and stay in the cleaned file, but are of neither run."""
    raw = pl.read_csv(events(tmp_path)).vstack(pl.DataFrame({"user": ["u0"], "item": ["seldom"], "time": [0]}))
    raw.write_csv(tmp_path / "raw.csv")
    gone = (pl.col("user") != "u0") & (pl.col("time") == 0) | (pl.col("user") == "u1") & (pl.col("time") < 3)
    raw.filter(~gone).write_csv(tmp_path / "left.csv")
    text = MINIMAL + "[evaluate]\ncutoffs = [3]\n"
    whole = config.load(write(tmp_path, text), ["data.path=raw.csv", "data.core=3"]).prepare()
    cleaned = config.load(tmp_path / "exp.toml", ["data.path=left.csv", "data.core=3", "data.original=raw.csv"])
    assert cleaned.data.original == str(tmp_path / "raw.csv")
    assert len(cleaned.data.read()) == 12 * 5 - 13
    prepared = cleaned.prepare()
    assert prepared.split.fingerprint["test"] == whole.split.fingerprint["test"]
    assert len(prepared.split.train.items) == len(whole.split.train.items) - 13
    assert prepared.notes["training interactions of data.original that data.path lacks"] == 13
    assert prepared.notes["interactions left out by core 3"] == 1
    noisy = config.load(tmp_path / "exp.toml", ["data.path=left.csv", "data.original=raw.csv", "data.inject.rho=0.5"])
    fair = config.load(tmp_path / "exp.toml", ["data.path=raw.csv"])
    assert noisy.prepare().split.fingerprint["test"] == fair.prepare().split.fingerprint["test"]


def test_a_missing_whole_log_is_named_by_key(tmp_path: Path) -> None:
    events(tmp_path)
    with pytest.raises(SettingsError, match=r"data\.original: .*raw\.csv' does not exist"):
        config.load(write(tmp_path, MINIMAL), ["data.original=raw.csv"]).prepare()


def test_the_weights_of_a_cleaned_log_need_none_in_the_whole_one(tmp_path: Path) -> None:
    log = pl.read_csv(events(tmp_path))
    log.slice(1).with_columns(trust=pl.lit(0.5)).write_csv(tmp_path / "left.csv")
    asked = ["data.path=left.csv", "data.original=events.csv", "data.weight=trust"]
    split = config.load(write(tmp_path, MINIMAL + "[evaluate]\ncutoffs = [3]\n"), asked).prepare().split
    assert split.train.weights is not None
    assert (split.train.weights == 0.5).all()


def test_features_are_aligned_by_id(tmp_path: Path) -> None:
    events(tmp_path)
    ids = [f"i{i:02d}" for i in range(8, -1, -1)]
    np.save(tmp_path / "x.npy", np.arange(9, dtype=np.float32)[:, None] + 1)
    pl.DataFrame({"row": range(9), "item": ids}).write_csv(tmp_path / "ids.tsv", separator="\t")
    extra = "[modality.number]\npath = 'x.npy'\nids = 'ids.tsv'\n[evaluate]\ncutoffs = [3]\n"
    _, catalog = config.load(write(tmp_path, MINIMAL + extra)).load_data()
    assert catalog.modalities["number"].vectors(np.array([1, 9])).ravel().tolist() == [9.0, 1.0]


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ("", "data.path"),
        ("[modality.text]\npath = 'no.npy'\n", "modality.text.path"),
        ("[modality.text]\npath = 'exp.toml'\nids = 'no.tsv'\n", "modality.text.ids"),
    ],
)
def test_a_missing_file_is_named_by_key(
    tmp_path: Path, extra: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if extra:
        events(tmp_path)
    asked = write(tmp_path, MINIMAL + extra)
    with pytest.raises(SettingsError, match="does not exist") as caught:
        config.load(asked).load_data()
    assert caught.value.path == path
    assert refused(["train", str(asked), "-o", str(tmp_path / "run")], 3, tmp_path, capsys) == str(caught.value)


def test_a_cutoff_beyond_the_catalog_is_refused(tmp_path: Path) -> None:
    events(tmp_path)
    with pytest.raises(SettingsError, match=r"evaluate.cutoffs: 50 is more than the catalog's 9 items"):
        config.load(write(tmp_path, MINIMAL)).load_data()


def test_a_metric_beyond_the_catalog_is_refused(tmp_path: Path) -> None:
    """The best epoch would be chosen by a list that is the whole catalog; counted methods choose none, and nobody chose
    the default."""
    events(tmp_path)
    settings = ["evaluate.cutoffs=[9]", "train.metric='ndcg@20'"]
    path = write(tmp_path, MINIMAL)
    with pytest.raises(SettingsError, match=r"train.metric: 20 is more than the catalog's 9 items"):
        config.load(path, [*settings, "method.use=siftrec:SASRec"]).load_data()
    config.load(path, [*settings, "method.use=siftrec:Popularity"]).load_data()
    config.load(path, [settings[0], "method.use=siftrec:SASRec"]).load_data()


def test_foreign_content_is_refused_where_nobody_reads_it(tmp_path: Path) -> None:
    """The figures of a method that reads no shown content would be called robust."""
    (tmp_path / "exp.toml").write_text(
        '[data]\npath = "events.csv"\n[data.foreign]\nrho = 0.4\n[method]\nuse = "siftrec:CCL4Rec"\n'
    )
    with pytest.raises(SettingsError, match=r"^data\.foreign: changes nothing for CCL4Rec.*siftrec:Demure"):
        config.load(tmp_path / "exp.toml").prepare()


def test_another_method_starts_its_table_anew(tmp_path: Path) -> None:
    """Whoever tries another method with --set is not stopped by the settings of the one in the file."""
    text = MINIMAL.replace('"siftrec:Popularity"', '"siftrec:Demure"\n[method.base]\nuse = "siftrec:CCL4Rec"')
    told = config.load(write(tmp_path, text), ["method.use=siftrec:SASRec", "method.dim=32"])
    assert told.method == SASRec(dim=32)
    kept = config.load(write(tmp_path, text), ["method.use=siftrec:Demure"])
    assert kept.method == config.load(write(tmp_path, text)).method


def test_settings_said_with_another_method_are_its_own_wherever_they_stand(tmp_path: Path) -> None:
    """`--set method.dim=32 --set method.use=…` would train with a dimension that nobody asked for."""
    text = MINIMAL.replace('"siftrec:Popularity"', '"siftrec:CCL4Rec"\ndim = 16\nlength = 9\ndropout = 0.1')
    said: list[str] = []
    before = ["method.dim=32", "method.use=siftrec:SASRec"]
    told = config.load(write(tmp_path, text), before, on_note=said.append)
    assert told.method == SASRec(dim=32) == config.load(write(tmp_path, text), before[::-1]).method
    assert said == ["[method] of exp.toml: length, dropout belong to siftrec:CCL4Rec and are dropped"]
    within = ["method.base.dim=8", "method.base.use=siftrec:SASRec", "method.use=siftrec:Demure"]
    assert describe(config.load(write(tmp_path, text), within).method)["base"]["dim"] == 8


def test_a_table_said_at_once_is_its_keys(tmp_path: Path) -> None:
    """`method={use=…}` must not lose what another --set says of the same method, nor drop the file's without a word."""
    text = MINIMAL.replace('"siftrec:Popularity"', '"siftrec:CCL4Rec"\nlength = 9')
    said: list[str] = []
    told = config.load(write(tmp_path, text), ["method.dim=32", 'method={use="siftrec:SASRec"}'], on_note=said.append)
    assert told.method == SASRec(dim=32)
    assert said == ["[method] of exp.toml: length belong to siftrec:CCL4Rec and are dropped"]


def test_what_is_not_dropped_is_not_told(tmp_path: Path) -> None:
    text = MINIMAL.replace('"siftrec:Popularity"', '"siftrec:SASRec"\ndim = 16')
    said: list[str] = []
    same = config.load(write(tmp_path, text), ["method.use=siftrec:SASRec", "seed=3"], on_note=said.append)
    assert same.method == SASRec(dim=16)
    config.load(write(tmp_path, text), ["method.use=siftrec:GRU4Rec", "method.dim=16"], on_note=said.append)
    assert said == []


@pytest.mark.parametrize(
    ("text", "value"), [(".2", 0.2), ("+.25", 0.25), ("2.5e-1", 0.25), (".5e-1", 0.05), ("0.", 0.0)]
)
def test_a_number_is_one_without_a_digit_on_both_sides(tmp_path: Path, text: str, value: float) -> None:
    """TOML wants 0.2; who types .2 at a command line means the number."""
    told = config.load(write(tmp_path, MINIMAL), ["split.use=siftrec:TemporalSplit", f"split.test={text}"])
    assert told.split == TemporalSplit(test=value)


def test_what_only_looks_like_a_number_stays_text(tmp_path: Path) -> None:
    """Names of columns and ids keep their zeros and dots."""
    told = config.load(write(tmp_path, MINIMAL), ["data.user=007", "data.item=.", "data.time=1.2.3"])
    assert (told.data.user, told.data.item, told.data.time) == ("007", ".", "1.2.3")


def test_a_method_without_its_module_is_answered_by_its_full_name(tmp_path: Path) -> None:
    for name in ("SASRec", "sasrec", "recbole.SASRec"):
        with pytest.raises(SettingsError, match=r"^method.use: .*; did you mean 'siftrec:SASRec'\?$"):
            config.load(write(tmp_path, MINIMAL), [f"method.use={name}"])
