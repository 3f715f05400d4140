"""`siftrec data` and `siftrec init`."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from siftrec import config
from siftrec.cli.main import run
from siftrec.data.read import read
from siftrec.data.split import LeaveOneOut, Predefined

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    rows = [f"u{user},v{(user * 3 + step) % 7},{1_500_000_000 + step}\n" for user in range(6) for step in range(4)]
    (tmp_path / "data" / "some_pairs.csv").write_text("user,item,timestamp\n" + "".join(rows))
    (tmp_path / "data" / "some_titles.csv").write_text("item,title\nv1,One\n")
    (tmp_path / "data" / "items.tsv").write_text("row\titem\n" + "".join(f"{n}\tv{n}\n" for n in range(7)))
    vectors = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float16)
    vectors[3] = 0
    np.save(tmp_path / "data" / "feat_text.npy", vectors)
    np.save(tmp_path / "data" / "mask_text.npy", np.arange(7) != 3)
    return tmp_path / "data"


def test_json_is_alone_on_stdout(folder, capsys):
    assert run(["data", str(folder), "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["users"], report["items"], report["interactions"]) == (1, 6, 7, 24)
    assert report["history"] == {"min": 4, "q25": 4, "median": 4, "q75": 4, "q95": 4, "max": 4, "mean": 4.0}
    assert report["time"]["first"] == "2017-07-14T02:40:00+00:00"
    text = {"width": 4, "coverage": 6 / 7, "source": str(folder / "feat_text.npy")}
    assert report["modalities"] == {"text": text}


def test_text_names_what_was_found(folder, capsys):
    assert run(["data", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = {line.split("  ")[0]: line.split()[-1] for line in out.splitlines()}
    assert lines["interactions"] == "24"
    assert "4-d, 85.7% of items" in out


def test_written_parquet_is_the_log(folder, tmp_path, capsys):
    target = tmp_path / "deep" / "out.parquet"
    assert run(["data", str(folder), "--write", str(target), "--json", str(tmp_path / "r.json")]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"wrote {target}\n"
    assert read(target).frame.drop("row").equals(read(folder).frame.drop("row"))
    assert json.loads((tmp_path / "r.json").read_text())["users"] == 6
    assert sorted(path.name for path in target.parent.iterdir()) == ["out.parquet"]


@pytest.mark.parametrize("name", ["n.csv", "n", "n.parquet.gz", "n.PARQUET"])
def test_parquet_is_written_under_its_own_name_alone(tmp_path, name, capsys):
    """Bytes of Parquet called .csv could not be read back; said before the log, which is not even there, is read."""
    assert run(["data", str(tmp_path / "none.csv"), "--write", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / name} must end in .parquet: the log is written as Parquet\n"
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("way", ["log.{}", "link.{}", "deep/../log.{}", "hard.{}"])
def test_the_log_itself_is_never_overwritten(tmp_path, monkeypatch, capsys, way):
    monkeypatch.chdir(tmp_path)
    Path("deep").mkdir()
    pl.DataFrame({"user": ["a", "b"], "item": ["x", "y"]}).write_parquet("log.parquet")
    Path("log.csv").write_text("user,item\na,x\nb,y\n")
    for ending, command in (
        ("parquet", ["data", "log.parquet", "--write"]),
        ("csv", ["data", "log.csv", "--json"]),
        ("csv", ["init", "log.csv", "--force", "-o"]),
    ):
        before, out = Path(f"log.{ending}").read_bytes(), Path(way.format(ending))
        if "link" in way and not out.exists():
            out.symlink_to(f"log.{ending}")
        if "hard" in way and not out.exists():
            out.hardlink_to(f"log.{ending}")
        assert run([*command, str(out)]) == 2
        assert capsys.readouterr().err == (
            f"error: {out} is the log itself, which is never overwritten; name another file\n"
        )
        assert Path(f"log.{ending}").read_bytes() == before


def test_what_was_only_shown_is_told_apart(tmp_path, capsys):
    """Or a log of impressions looks as if every one of them had been clicked."""
    path = tmp_path / "shown.csv"
    path.write_text("user,item,time,label\na,x,1,1\na,y,2,0\nb,x,3,0\n")
    assert run(["data", str(path)]) == 0
    lines = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()[:4])
    assert (lines["interactions"], lines["of them shown only, not clicked"]) == ("3", "2")
    assert run(["data", str(path), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["shown_only"] == 2


def test_columns_and_core(tmp_path, capsys):
    frame = pl.DataFrame({"who": ["a", "a", "b"], "what": ["x", "x", "y"]})
    frame.write_csv(tmp_path / "log.csv")
    path = str(tmp_path / "log.csv")
    assert run(["data", path]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: no column is recognised as the user")
    assert error.count("\n") == 1
    assert run(["data", path, "--user", "who", "--item", "what", "--core", "2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["interactions"] == 2


@pytest.mark.parametrize("output", ["exp.toml", "data/exp.toml", "deep/er/exp.toml"])
def test_init_writes_an_experiment_that_loads(folder, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    assert run(["init", "data", "-o", output]) == 0
    experiment = config.load(output)
    assert Path(experiment.data.path) == folder
    assert Path(experiment.data.titles) == folder / "some_titles.csv"
    assert experiment.split == LeaveOneOut()
    text = experiment.modality["text"]
    assert (Path(text.path), Path(text.ids)) == (folder / "feat_text.npy", folder / "items.tsv")
    assert Path(text.mask) == folder / "mask_text.npy"
    assert len(experiment.data.read()) == 24
    table = tomllib.loads(Path(output).read_text("utf-8"))
    assert not Path(table["data"]["path"]).is_absolute()
    assert table["method"]["use"] == "siftrec:CCL4Rec"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("feat_text.npz", "holds feat_text.npy and feat_text.npz, both of modality 'text'; rename one"),
        ("text_feat.npy", "holds feat_text.npy and text_feat.npy, both of modality 'text'; rename one"),
        ("feat_2d.npy", "feat_2d.npy: '2d' cannot name a modality; rename the file, e.g. feat_text.npy"),
        ("feat_ids.npy", "feat_ids.npy: 'ids' cannot name a modality; rename the file, e.g. feat_text.npy"),
    ],
)
def test_vectors_whose_name_is_taken_or_none_are_refused_in_one_line(folder, tmp_path, capsys, name, says):
    (folder / name).write_bytes((folder / "feat_text.npy").read_bytes())
    target = tmp_path / "new" / "exp.toml"
    for arguments in (["data", str(folder)], ["init", str(folder), "-o", str(target)], ["audit", str(folder)]):
        assert run(arguments) == 3, arguments
        assert capsys.readouterr().err.splitlines()[-1].endswith(says), arguments
    assert not target.parent.exists()
    assert len(read(folder)) == 24, "the log by itself is as good as before"


def test_init_quotes_a_name_that_toml_does_not_take_bare(folder, tmp_path):
    (folder / "feat_text.npy").rename(folder / "feat_größe.npy")
    assert run(["init", str(folder), "-o", str(tmp_path / "exp.toml")]) == 0
    assert list(config.load(tmp_path / "exp.toml").modality) == ["größe"]


def test_init_writes_defaults_as_they_are(folder, tmp_path):
    assert run(["init", str(folder), "-o", str(tmp_path / "exp.toml")]) == 0
    written = config.load(tmp_path / "exp.toml")
    lines = [line for line in (tmp_path / "exp.toml").read_text("utf-8").splitlines() if line[:1] not in ("", "#")]
    short = [
        line for line in lines if line.split(" ")[0] not in ("epochs", "batch_size", "cutoffs", "patience", "seed")
    ]
    (tmp_path / "short.toml").write_text("\n".join(short), "utf-8")
    plain = config.load(tmp_path / "short.toml")
    items = len(plain.data.read().items)
    assert written.evaluate.cutoffs == tuple(k for k in plain.evaluate.cutoffs if k <= items), (
        "evaluate would refuse it"
    )
    assert replace(plain, evaluate=written.evaluate) == written


def test_init_keeps_what_is_there_and_names_columns(tmp_path, capsys):
    log = tmp_path / 'odd "name".csv'
    log.write_text("who,what,split\na,x,train\na,y,valid\na,z,test\n")
    target = tmp_path / "odd folder" / "exp.toml"
    arguments = ["init", str(log), "-o", str(target), "--user", "who", "--item", "what"]
    assert run(arguments) == 0
    assert f"next: siftrec train '{target}' -o run\n" in capsys.readouterr().err
    experiment = config.load(target)
    assert (experiment.data.user, experiment.data.item) == ("who", "what")
    assert experiment.split == Predefined()
    assert len(experiment.data.read()) == 3
    before = target.read_bytes()
    assert run(arguments) == 2
    assert "exists; choose another name or pass --force" in capsys.readouterr().err
    assert target.read_bytes() == before
    assert run([*arguments, "--force"]) == 0


@pytest.mark.skipif(not SHARED.exists(), reason="the real data sets are not beside the project")
def test_init_of_microlens(tmp_path):
    assert run(["init", str(SHARED / "microlens50k"), "-o", str(tmp_path / "exp.toml")]) == 0
    experiment = config.load(tmp_path / "exp.toml")
    assert sorted(experiment.modality) == ["caption", "hashtags", "text"]
    split, catalog = experiment.load_data()
    assert (len(split.test), len(catalog)) == (50_000, 19_221)
    assert catalog.coverage["text"] == 1.0
