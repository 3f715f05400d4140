"""Which questions a model is asked, and whether it may have been fitted on their answers."""

from __future__ import annotations

from siftrec.data.impressions import Impressions
from siftrec.data.split import Part
from siftrec.data.vocab import Vocab
from siftrec.errors import DataError, UsageError
from siftrec.methods.trained import Trained


def name_of(part: Part | Impressions, split: str | None = None) -> str:
    """The name of a part, for the record.

    Args:
        part: the questions.
        split: the name of a part that was made by hand; a part of a split has its own.

    Raises:
        UsageError: a part of a split by another name than its own, or one made by hand without a name.
    """
    if split not in (None, part.role) and part.role is not None:
        raise UsageError(f"split: {split!r} is not what this part is; it is {part.role!r}, so leave the argument out")
    name = part.role or split
    if name is None:
        raise UsageError(
            "split: this part is neither the test nor the validation part of a split; name it, e.g. 'test'"
        )
    return name


def check_asks(part: Part | Impressions, name: str) -> None:
    """Whether a part asks anything.

    Raises:
        DataError: it does not; why, and what would.
    """
    if isinstance(part, Impressions) or len(part):
        return
    if part.unasked:
        why = f"none of its {part.unasked:,} users has an earlier interaction"
    elif part.role is None:
        why = "no user has both a history and a target in it"
    else:
        why = "this split holds nothing out for it; judge settings on one that does, e.g. siftrec:LeaveOneOut"
    raise DataError(f"the {name} part asks no question: {why}")


def check_unseen(trained: Trained, part: Part | Impressions) -> None:
    """Whether a test part, or some of its questions, is that of the split which the model was fitted on.

    What was done to the training part of that split (weights, planted noise) changes no test question. Validation parts
    are not checked, for noise may have been planted in them; neither are parts made by hand, and models that do not know
    what they were fitted on.

    Raises:
        UsageError: it is the test part of another split.
    """
    if part.role != "test" or not trained.facts.test:
        return
    fitted = Vocab(trained.items.ids.head(len(trained.items) - 1 - trained.added))
    try:
        own = part.whole.recode(fitted).fingerprint == trained.facts.test
    except DataError:  # of an item that was added later
        own = False
    if not own:
        raise UsageError(
            f"part: asks the test questions of another split than the {trained.facts.protocol!r} one that the model was "
            "fitted on, so it may have been fitted on their answers; ask that split's, or say unseen=True if it was not"
        )
