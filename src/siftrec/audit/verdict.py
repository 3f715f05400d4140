"""The verdict, by rules written down beforehand, one of them mended since.

A person acts on it, so a gain must be worth the trouble.

The family: the gain of each proxy, and of all proxies together, Holm-corrected. Models trained on weighted logs are
judged on the holdout; logs with flagged interactions dropped are no part of it.

The first that applies is the answer; *all together* is the one proxy where there is only one.

1. *too short to tell*: fewer than 200 users are asked (then nothing is trained), or no proxy places a single held-out
   item.
2. *no detectable benefit, leave it alone*: some proxy is harmed, that is significantly (Holm, 5 %) below 0 and below
   -1 %, whatever the others gain. 1 % is the harm that is put up with: what is too little to count for weights is too
   little to count against them.
3. Some gain of the family, all together included, is significantly above 0. *weight it* where all together gain at
   least 1 %; *leave it alone* where they gain more than nothing but less than 1 %, however far the interval reaches:
   among many users a gain of .3 % is both certain and less than another column, another version of the log and another
   thing to explain are worth. Where all together gain nothing, rules 4 and 5 decide.
4. *too short to tell*: the 95 % interval of all together reaches above +5 %: so large a gain would be missed. (At first
   it had to reach below -5 % as well; ml_latest_small with 30 % of planted noise then said *leave it alone* at +7.1 %
   [-0.8, +14.6], and it was wrong.)
5. *leave it alone*: everything else. It is the answer that costs nothing if it is wrong, and its sentence says which
   gain could still be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from siftrec.audit.gains import TOGETHER, Gain
from siftrec.evaluate.compare import ALPHA, p_text

USEFUL = 0.01
"""The least relative gain of all proxies together that is worth a weight per interaction."""
HARM = 0.01
MARGIN = 0.05
FEWEST_USERS = 200

Answer = Literal["weight it", "no detectable benefit, leave it alone", "too short to tell"]
WEIGHT: Answer = "weight it"
LEAVE: Answer = "no detectable benefit, leave it alone"
SHORT: Answer = "too short to tell"


@dataclass(frozen=True)
class Verdict:
    """What to do with the log.

    Attributes:
        answer: one of three.
        sentences: two, with the figures behind the answer.
        users: asked on the holdout.
        gains: the family.
    """

    answer: Answer
    sentences: str
    users: int
    gains: tuple[Gain, ...]


def decide(gains: Sequence[Gain], users: int, noise: str) -> Verdict:
    """Apply the rules.

    Args:
        gains: the family, empty where nothing could be compared; several proxies come with `all proxies`.
        users: asked on the holdout.
        noise: the second sentence, about the share of noise and what can be found of it.
    """
    answer, why = _answer(gains, users)
    return Verdict(answer, f"{answer[0].upper()}{answer[1:]}: {why}. {noise}", users, tuple(gains))


def _answer(gains: Sequence[Gain], users: int) -> tuple[Answer, str]:
    if users < FEWEST_USERS:
        asked = f"{users:,} user{'' if users == 1 else 's'}"
        return SHORT, f"the holdout asks {asked}, and fewer than {FEWEST_USERS} can show neither harm nor benefit"
    if not gains:
        return SHORT, f"no model places any held-out interaction of {users:,} users among its best"
    overall = next((gain for gain in gains if gain.proxy == TOGETHER), gains[0])
    harmed = [gain for gain in gains if gain.proxy != TOGETHER and gain.p_holm < ALPHA and gain.relative < -HARM]
    gained = any(gain.p_holm < ALPHA and gain.relative > 0 for gain in gains)
    told = f"change with 95 % interval: {', '.join(map(_told, gains))}"
    if harmed:
        names = " and ".join(gain.proxy for gain in harmed)
        return LEAVE, f"the weights make {names} predict the held-out interactions worse ({told})"
    if gained and overall.relative >= USEFUL:
        return WEIGHT, f"trained on the weighted log, models predict the held-out interactions better ({told})"
    if gained and overall.relative > 0:
        return LEAVE, f"the weights help by less than {USEFUL:.0%}, which is not worth the trouble ({told})"
    if overall.high > MARGIN:
        return SHORT, f"no gain is shown, and one of up to {overall.high:.1%} cannot be excluded ({told})"
    if overall.high < USEFUL:
        return LEAVE, f"models trained with weights gain less than {USEFUL:.0%}, if anything ({told})"
    return LEAVE, f"no gain is shown, though one of up to {overall.high:.1%} cannot be excluded ({told})"


def _told(gain: Gain) -> str:
    return f"{gain.proxy} {gain.relative:+.1%} [{gain.low:+.1%} to {gain.high:+.1%}], p {p_text(gain.p_holm)}"
