"""Whether the weights of a log may know the answers that it is asked for."""

from __future__ import annotations

from siftrec.data.split import TEST, Split


def knows_answers(split: object) -> str:
    """That test interactions have weights other than 1, in words; "" where none has.

    `siftrec sift --part train` weighs training interactions alone, so such weights were given with the test part in view, or
    are a user's own.
    """
    if not isinstance(split, Split) or split.log.weights is None:
        return ""
    weights = split.log.weights[split.role == TEST]
    count = int((weights != 1).sum())
    if not count:
        return ""
    told = f"{count:,} of {len(weights):,} test interactions have a weight other than 1"
    return f"{told}: if siftrec gave the weights, they know the answers; judge again with `siftrec sift --part train`"
