"""A cleaned log is asked what the whole one is asked, whatever cleaning has left of it."""

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from siftrec.data.cleaned import cleaned
from siftrec.data.read import read
from siftrec.data.split import TEST, TRAIN, Everything, LeaveOneOut, Predefined, leave_one_out
from siftrec.data.temporal import TemporalSplit
from siftrec.errors import DataError, UsageError
from siftrec.evaluate.compare import compare
from siftrec.evaluate.evaluation import evaluate
from siftrec.methods.sasrec import SASRec
from siftrec.train.fit import fit

logs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 50)), min_size=8, max_size=60)
masks = st.lists(st.booleans(), min_size=1, max_size=20)


def frame_of(log):
    return pl.DataFrame(log, schema=["user", "item", "time"], orient="row")


def cut(how, frame):
    try:
        return how(read(frame))
    except DataError:
        assume(False)


def without(frame, split, stays):
    """The table without the rows of the split's events that do not stay."""
    gone = split.log.rows[~stays]
    return frame.filter(~pl.Series(np.isin(np.arange(len(frame)), gone)))


def listed(split, rows):
    return [split.items.decode(rows[row]).to_list() for row in range(len(rows))]


@pytest.mark.parametrize("how", [LeaveOneOut(), TemporalSplit(test=0.2, valid=0.2), Predefined(), Everything()])
@given(log=logs, mask=masks, clock=st.booleans())
def test_the_questions_are_those_of_the_whole_log_and_training_is_what_is_left(how, log, mask, clock):
    """With another target, candidate or filtered item, `siftrec compare` would compare what cannot be compared."""
    clock = clock or isinstance(how, TemporalSplit)
    frame = frame_of(sorted(log, key=lambda event: event[2])).select("user", "item", *["time"] * clock)
    if isinstance(how, Predefined):
        quarter = np.arange(len(frame)) * 4 // len(frame)
        frame = frame.with_columns(split=pl.Series(["train", "train", "valid", "test"]).gather(quarter))
    whole = cut(how, frame)
    stays = np.resize(mask, len(whole.role)) | (whole.role != TRAIN)
    assume((stays & (whole.role == TRAIN)).any())
    left = without(frame, whole, stays)
    split = cleaned(whole, read(left))
    for asked, before in ((split.test, whole.test), (split.valid, whole.valid)):
        assert asked.fingerprint == before.fingerprint
        assert asked.unasked == before.unasked
        np.testing.assert_array_equal(asked.repeats, before.repeats)
    assert split.items == whole.items
    assert listed(split, split.train) == listed(whole, whole.log.where(stays & (whole.role == TRAIN)))
    histories = whole.log.where(stays & (whole.role < TEST)).take(split.test.users)
    assert listed(split, split.test.histories) == listed(whole, histories)
    assert [left["item"][int(row)] for row in split.log.rows] == split.items.decode(split.log.items).to_list()


def test_who_has_nothing_left_is_asked_all_the_same_and_lost_items_are_candidates():
    """Or the users of both runs would differ, and the lists of one of them would be shorter by the lost item."""
    frame = frame_of([(0, 1, 0), (0, 2, 1), (0, 3, 2), *((u, 2 + t, t) for u in (1, 2) for t in range(4))])
    raw = leave_one_out(read(frame))
    split = cleaned(raw, read(frame.filter(pl.col("item") != 1)))
    assert split.valid.histories.lengths.tolist() == [0, 2, 2]
    assert 1 in split.items
    models = [fit(SASRec(dim=8, heads=1), each, epochs=1, seed=7) for each in (raw, split)]
    assert models[1].popularity[1] == 0
    for part in ("valid", "test"):
        a, b = (evaluate(model, getattr(each, part)) for model, each in zip(models, (raw, split), strict=True))
        assert compare(a, b, "ndcg@5").users == 3


def test_cut_by_itself_a_cleaned_log_cannot_be_compared_and_is_told_how():
    """The null control: it asks fewer users, among fewer items."""
    frame = frame_of([(0, 1, 0), (0, 2, 1), (0, 3, 2), *((u, 2 + t, t) for u in (1, 2, 3) for t in range(4))])
    left = read(frame.filter(pl.col("item") != 1))
    splits = cleaned(leave_one_out(read(frame)), left), leave_one_out(left)
    a, b = (evaluate(fit(SASRec(dim=8, heads=1), each, epochs=1, seed=7), each.test) for each in splits)
    with pytest.raises(
        DataError, match=r"users \(4 and 3\); evaluate both .* \[data\] original .*--part train"
    ) as caught:
        compare(a, b, "ndcg@5")
    assert "\n" not in str(caught.value)


LOG = [(0, 1, 0), (0, 2, 1), (0, 3, 2), (0, 4, 3), (1, 1, 0), (1, 2, 1), (1, 4, 2)]


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (LOG[:3] + LOG[4:], "lacks 1 of 4 .* leave-one-out split .* user 0 with item 4.*--part train"),
        (LOG[:4], "lacks 2 of 4 .* user 1 with item 2"),
        ([*LOG, (1, 3, 0)], "an interaction of user 1 with item 3, which the original log lacks"),
        ([*LOG, (0, 1, 0)], "an interaction of user 0 with item 1, which"),
        ([*LOG, (0, 1, 9)], "an interaction of user 0 with item 1, which"),
        ([(0, 1, 5), *LOG[1:]], "an interaction of user 0 with item 1, which"),
        ([*LOG, (7, 1, 0)], "an interaction of user 7 with item 1, which"),
        ([*LOG, (0, 9, 0)], "an interaction of user 0 with item 9, which"),
        ([LOG[2], LOG[3], LOG[5], LOG[6]], "leaves no training interaction; cleaning has dropped them all"),
    ],
)
def test_what_is_no_cleaned_log_of_the_whole_one_is_refused_by_name(left, says):
    with pytest.raises(DataError, match=says):
        cleaned(leave_one_out(read(frame_of(LOG))), read(frame_of(left)))


@given(log=logs, mask=masks)
def test_no_held_out_interaction_is_lost_in_silence(log, mask):
    """A target that was dropped is a question less: the comparison would flatter whoever may choose what to answer."""
    frame = frame_of(log)
    assume(not frame.is_duplicated().any())
    whole = cut(LeaveOneOut(), frame)
    stays = np.resize(mask, len(whole.role)) | (whole.role == TRAIN)
    assume(not stays.all())
    with pytest.raises(DataError, match=rf"lacks {(~stays).sum()} of "):
        cleaned(whole, read(without(frame, whole, stays)))


def test_equal_times_are_ordered_by_part_as_in_the_whole_log():
    """Else the most recent of a history would be another one than in the run on the whole log."""
    frame = frame_of([(0, 1, 0), (0, 3, 1), (0, 2, 1), (0, 4, 2)])
    frame = frame.with_columns(split=pl.Series(["train", "valid", "train", "test"]))
    split = cleaned(Predefined()(read(frame)), read(frame.drop("split")))
    assert listed(split, split.test.histories) == [[1, 2, 3]]


def test_weights_and_ids_are_those_of_the_cleaned_log():
    """It may have been weighted as well, or come back from a text file with numbers as text."""
    text = frame_of(LOG[1:]).with_columns(pl.col("user", "item").cast(pl.String), weight=pl.lit(0.5))
    split = cleaned(leave_one_out(read(frame_of(LOG))), read(text))
    assert split.train.weights.tolist() == [0.5, 0.5]
    assert listed(split, split.train) == [[2], [1]]


def test_what_is_not_cut_and_what_is_no_log_are_named():
    events = read(frame_of(LOG))
    with pytest.raises(UsageError, match="Interactions is no Split; cut the whole log"):
        cleaned(events, events)
    with pytest.raises(UsageError, match="Split is no log"):
        cleaned(leave_one_out(events), leave_one_out(events))
