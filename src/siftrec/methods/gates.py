"""Gates: which modalities of each interaction are to be believed, judged by the other interactions of its history.

    g_tm = mean of the k largest cosines of modality m of interaction t to modality m of the others     agreement
    ẑ_tm = (g_tm − μ_m) / σ_m      μ, σ: of popularity-drawn items on the same histories; 0 without neighbour
    h_tm = mean of ẑ_m over the other interactions of the history           how much the modality matters to this user at all
    ℓ_tm = softplus(κ_m) ẑ_tm + softplus(ρ_m) h_tm + b_m
    γ_tm = softmax over the modalities present                                                               the gate

A gate sees the history alone, and where each position has a target of its own, nothing after its interaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the usual name

from siftrec.data.catalog import Catalog
from siftrec.errors import DataError
from siftrec.nn.importance import NEIGHBOUR_CAP, top_mean
from siftrec.nn.rows import rows_of, with_rows
from siftrec.nn.shares import shares
from siftrec.nn.towers import Parts, Seen
from siftrec.settings import Size, settings

GateName = Literal["softmax", "sigmoid", "attention", "none", "random", "oracle"]
_DECAY = 0.99
_FEWEST = 50
_LEAST_DEVIATION = 1e-3


@settings
class Gate:
    """How the modalities of an interaction are weighed against each other.

    Attributes:
        kind: `softmax` or `sigmoid` (normalised) of calibrated agreement; `none`: equal weights. Controls: `attention` asks
            the content alone and learns from the recommendation loss, `random` gives every content a fixed random weight,
            `oracle` knows which content is not the item's own.
        neighbours: k, how many of the most similar others vouch for a modality.
        calibrated: whether agreement is compared with that of popularity-drawn items, for each modality by itself.
    """

    kind: GateName = "softmax"
    neighbours: Size = 3
    calibrated: bool = True

    @property
    def judged(self) -> bool:
        """Whether the weights come from agreement."""
        return self.kind in ("softmax", "sigmoid")


class Gated(NamedTuple):
    """What a gate made of the content of histories.

    Attributes:
        seen: what was judged.
        score_BML: ẑ, calibrated agreement; 0 where nothing could vouch.
        habit_BML: h, mean of ẑ over the other interactions.
        evidence_BML: how many other interactions could vouch.
        weight_BML: γ; sums to 1 over the modalities present.
    """

    seen: Seen
    score_BML: torch.Tensor
    habit_BML: torch.Tensor
    evidence_BML: torch.Tensor
    weight_BML: torch.Tensor


def settled(seen: Seen, weight_BML: torch.Tensor) -> Gated:
    """Weights found earlier, on content of which some has been replaced since; shared out among what is present now.

    An item that was put where none of its modalities had any weight is read by all of them alike. The weights carry no
    gradient: what is learned from damage must not teach the gate.
    """
    left_BML = weight_BML.detach() * seen.present_BML
    left_BML = torch.where(left_BML.sum(dim=1, keepdim=True) > 0, left_BML, seen.present_BML.to(left_BML.dtype))
    nothing = torch.zeros_like(weight_BML)
    shared_BML = left_BML / left_BML.sum(dim=1, keepdim=True).clamp_min(torch.finfo(left_BML.dtype).tiny)
    return Gated(seen, nothing, nothing, nothing.long(), shared_BML)


class Background(NamedTuple):
    """Agreement of J popularity-drawn items, each put into one slot of each history.

    Attributes:
        raw_BMJ: agreement; -inf where nothing could vouch.
        beside_BLJ: interactions that each is judged by.
        evidence_BMJ: how many interactions could; 0 also where there is no content.
        present_BMJ: whether the item has the modality, and not content of the user's own.
    """

    raw_BMJ: torch.Tensor
    beside_BLJ: torch.Tensor
    evidence_BMJ: torch.Tensor
    present_BMJ: torch.Tensor


class Drawn(NamedTuple):
    """The content of X interactions of some histories; see `Seen`. Each modality may have interactions of its own."""

    codes_MX: torch.Tensor
    units_MXD: torch.Tensor
    norm_MX: torch.Tensor
    present_MX: torch.Tensor


def content_of(seen: Seen, row: torch.Tensor, column: torch.Tensor) -> Drawn:
    """The content of interactions.

    Args:
        seen: histories.
        row: (X,) or (M, X), history of each.
        column: (X,) or (M, X), place in it.
    """
    count, length = seen.codes_BML.shape[1:]
    at_MX = (row * count + torch.arange(count).unsqueeze(1)) * length + column
    return Drawn(*(rows_of(each.flatten(0, 2), at_MX) for each in seen))


def agreement(seen: Seen, k: int, causal: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave-one-out agreement g_BML inside each modality (-inf without evidence), and the evidence.

    The same content elsewhere in the history does not vouch for itself.

    Args:
        seen: content.
        k: how many of the most similar others are averaged.
        causal: only earlier interactions vouch.
    """
    similar_BMLL = seen.units_BMLD @ seen.units_BMLD.transpose(2, 3)
    present_BML, codes_BML = seen.present_BML, seen.codes_BML
    other = present_BML.unsqueeze(3) & present_BML.unsqueeze(2) & (codes_BML.unsqueeze(3) != codes_BML.unsqueeze(2))
    if causal:
        other = other.tril(-1)
    similar_BMLL = similar_BMLL.masked_fill(~other, -torch.inf)
    return top_mean(similar_BMLL, k, dim=3), other.sum(dim=3)


def habit(score_BML: torch.Tensor, evidence_BML: torch.Tensor, beside_LX: torch.Tensor) -> torch.Tensor:
    """h_BMX: mean score of a history's modality over some of its interactions; 0 where none of them was vouched for.

    Args:
        score_BML: ẑ.
        evidence_BML: interactions without evidence say nothing.
        beside_LX: (L, X) or (B, L, X), which of the L interactions each of the X is judged by.
    """
    beside = beside_LX.to(score_BML.dtype)
    count_BMX = (evidence_BML > 0).to(score_BML.dtype) @ beside
    return (score_BML @ beside) / count_BMX.clamp_min(1)


class Gating(nn.Module):
    """The gate of a model, with the calibration and the content of the catalog that it needs.

    Args:
        how: settings.
        names: of the modalities.
        present_NM: which item has which.
        dim: D of the modality vectors.
        causal: whether only earlier interactions may vouch.
    """

    def __init__(self, how: Gate, names: Iterable[str], present_NM: torch.Tensor, dim: int, causal: bool) -> None:
        super().__init__()
        self.how, self.names, self.causal = how, tuple(names), causal
        size, count = present_NM.shape
        self.register_buffer("units", torch.zeros(size, count, dim))
        self.register_buffer("norm", torch.zeros(size, count))
        self.register_buffer("present", present_NM)
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.head: nn.Module = nn.Identity()
        if how.judged:
            # Sums of values near 1 and of their squares: float32 would lose the deviation of content that looks alike.
            self.register_buffer("moments", torch.zeros(3, count, NEIGHBOUR_CAP + 1, dtype=torch.float64))
            self.steepness = nn.Parameter(torch.full((count,), 0.5413))
            self.habit = nn.Parameter(torch.full((count,), 0.5413))
            self.level = nn.Parameter(torch.zeros(count))
        if how.kind == "attention":
            self.ask = nn.Parameter(torch.zeros(count, dim))
            self.level = nn.Parameter(torch.zeros(count))
        if how.kind == "random":
            self.register_buffer("drawn", torch.randn(size, count))

    @property
    def parts(self) -> Parts:
        """The kept modality vectors of the whole catalog."""
        return Parts(self.get_buffer("units"), self.get_buffer("norm"), self.get_buffer("present"))

    def keep(self, codes_n: torch.Tensor, parts: Parts) -> None:
        """Keep the modality vectors of some items."""
        self.get_buffer("units")[codes_n] = parts.units_nMD
        self.get_buffer("norm")[codes_n] = parts.norm_nM

    def widened(self, count: int) -> Gating:
        """The same gate, weights shared, with room for the content of more items.

        To a gate of kind `random` their content is as good as any other on average.
        """
        tables = {"units", "norm", "present", "drawn"} & dict(self.named_buffers(recurse=False)).keys()
        return with_rows(self, tables, count)

    def look(self, parts: Parts, slot_N: torch.Tensor, items_BL: torch.Tensor, shown_BLM: torch.Tensor | None) -> Seen:
        """The modalities of histories.

        Args:
            parts: of the items at hand.
            slot_N: row of each item code among them.
            items_BL: item codes.
            shown_BLM: as in `Batch`.

        Raises:
            DataError: the histories show another number of modalities than the gate has.
        """
        if shown_BLM is not None and shown_BLM.shape[2] != len(self.names):
            problem = f"histories show {shown_BLM.shape[2]} modalities, the method was built for {len(self.names)}"
            raise DataError(f"{problem}: {', '.join(self.names)}")
        items_B1L, count = items_BL.unsqueeze(1), len(self.names)
        codes_BML = items_B1L.expand(-1, count, -1) if shown_BLM is None else shown_BLM.transpose(1, 2)
        at = slot_N[codes_BML] * count + torch.arange(count).unsqueeze(1)
        units_BMLD, norm_BML = rows_of(parts.units_nMD.flatten(0, 1), at), rows_of(parts.norm_nM.flatten(), at)
        return Seen(codes_BML, units_BMLD, norm_BML, parts.present_nM.flatten()[at] & (codes_BML > 0))

    def forward(self, seen: Seen, items_BL: torch.Tensor) -> Gated:
        """Weigh the modalities of every interaction."""
        nothing = torch.zeros_like(seen.norm_BML)
        if not self.how.judged:
            evidence = torch.zeros_like(seen.codes_BML)
            return Gated(seen, nothing, nothing, evidence, self._weights(self._given(seen, items_BL), seen.present_BML))
        raw_BML, evidence_BML = agreement(seen, self.how.neighbours, self.causal)
        score_BML = self.calibrated(raw_BML, evidence_BML)
        columns = torch.arange(score_BML.shape[2])
        beside_LL = columns.unsqueeze(1) < columns if self.causal else columns.unsqueeze(1) != columns
        habit_BML = habit(score_BML, evidence_BML, beside_LL)
        weight_BML = self._weights(self.logits(score_BML, habit_BML).detach(), seen.present_BML)
        return Gated(seen, score_BML, habit_BML, evidence_BML, weight_BML)

    def logits(self, score_BMX: torch.Tensor, habit_BMX: torch.Tensor) -> torch.Tensor:
        """ℓ of calibrated scores."""
        own_BMX = F.softplus(self.steepness).unsqueeze(1) * score_BMX
        return own_BMX + F.softplus(self.habit).unsqueeze(1) * habit_BMX + self.level.unsqueeze(1)

    def _given(self, seen: Seen, items_BL: torch.Tensor) -> torch.Tensor:
        """Logits that agreement has no part in."""
        if self.how.kind == "attention":
            return torch.einsum("bmld,md->bml", seen.units_BMLD, self.ask) + self.level.unsqueeze(1)
        if self.how.kind == "random":
            return self.get_buffer("drawn")[seen.codes_BML, torch.arange(len(self.names)).unsqueeze(1)]
        if self.how.kind == "oracle":
            return torch.where(seen.codes_BML == items_BL.unsqueeze(1), 0.0, -30.0)
        return torch.zeros_like(seen.norm_BML)

    def _weights(self, logits_BML: torch.Tensor, present_BML: torch.Tensor) -> torch.Tensor:
        if self.how.kind == "sigmoid":
            logits_BML = F.logsigmoid(logits_BML)
        return shares(logits_BML, present_BML, dim=1)

    def calibrated(self, raw_BMX: torch.Tensor, evidence_BMX: torch.Tensor) -> torch.Tensor:
        """ẑ: deviations by which content agrees better than that of a background item; 0 without evidence."""
        mean_MC, deviation_MC = self.scale()
        index = self._cell(evidence_BMX)
        found = evidence_BMX > 0
        z = (raw_BMX.masked_fill(~found, 0.0) - mean_MC.flatten()[index]) / deviation_MC.flatten()[index]
        return z.masked_fill(~found, 0.0)

    def _cell(self, evidence_BMX: torch.Tensor) -> torch.Tensor:
        """Place of modality and neighbour count in the flat tables of the calibration."""
        return evidence_BMX.clamp_max(NEIGHBOUR_CAP) + torch.arange(len(self.names)).unsqueeze(1) * (NEIGHBOUR_CAP + 1)

    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation, each (M, CAP + 1), of background agreement by neighbour count.

        Counts that were hardly seen borrow the modality's pooled values; without calibration all modalities share one. A
        deviation below .001 is taken for that: content that looks so much alike has little to say.
        """
        moments = self.get_buffer("moments")
        if not self.how.calibrated:
            moments = moments.sum(dim=1, keepdim=True).expand_as(moments)
        pooled = moments.sum(dim=2, keepdim=True)
        count, first, second = torch.where(moments[:1] >= _FEWEST, moments, pooled)
        mean = first / count.clamp_min(1e-9)
        deviation = (second / count.clamp_min(1e-9) - mean.square()).clamp_min(_LEAST_DEVIATION**2).sqrt()
        known = count > 1
        return torch.where(known, mean, 0.0).float(), torch.where(known, deviation, 1.0).float()

    @torch.no_grad()
    def observe(self, background: Background) -> None:
        """Move the calibration towards one batch's background; cells that the batch did not touch keep their values."""
        moments = self.get_buffer("moments")
        seen = background.evidence_BMJ > 0
        raw = background.raw_BMJ.masked_fill(~seen, 0.0).double()
        place = self._cell(background.evidence_BMJ).flatten()
        fresh = torch.zeros(3, moments[0].numel(), dtype=torch.float64)
        for row, values in enumerate((seen.double(), raw * seen, raw.square() * seen)):
            fresh[row].index_add_(0, place, values.flatten())
        fresh = fresh.view_as(moments)
        moments.mul_(torch.where(fresh[:1] > 0, _DECAY, 1.0)).add_(fresh)

    def background(self, seen: Seen, items_BL: torch.Tensor, count: int, rng: torch.Generator) -> Background:
        """Put the content of `count` random interactions of the batch into random slots of every history.

        An interaction drawn at random has a popularity-drawn item.
        """
        real_BL = items_BL > 0
        row_E, column_E = real_BL.nonzero(as_tuple=True)
        if not len(row_E):
            nowhere = seen.norm_BML.new_zeros(len(items_BL), len(self.names), 0)
            return Background(nowhere, items_BL.new_zeros(*items_BL.shape, 0).bool(), nowhere.long(), nowhere.bool())
        drawn_J = torch.randint(len(row_E), (count,), generator=rng)
        row_J, column_J = row_E[drawn_J], column_E[drawn_J]
        codes_MJ, units_MJD, _, present_MJ = content_of(seen, row_J, column_J)
        length_B1 = real_BL.sum(dim=1, keepdim=True)
        draw_BJ = torch.rand(len(items_BL), count, generator=rng)
        slot_BJ = (draw_BJ * length_B1).long() + items_BL.shape[1] - length_B1
        columns_L1 = torch.arange(items_BL.shape[1]).unsqueeze(1)
        beside_BLJ = columns_L1 < slot_BJ.unsqueeze(1) if self.causal else columns_L1 != slot_BJ.unsqueeze(1)
        own_BMJ = (seen.codes_BML.unsqueeze(3) == codes_MJ.unsqueeze(1)).any(dim=2)
        there_BMJ = present_MJ & ~own_BMJ
        vouch_BMLJ = seen.present_BML.unsqueeze(3) & beside_BLJ.unsqueeze(1) & there_BMJ.unsqueeze(2)
        similar_BMLJ = torch.einsum("bmld,mjd->bmlj", seen.units_BMLD, units_MJD)
        raw_BMJ = top_mean(similar_BMLJ.masked_fill(~vouch_BMLJ, -torch.inf), self.how.neighbours, dim=2)
        return Background(raw_BMJ, beside_BLJ, vouch_BMLJ.sum(dim=2), there_BMJ)


def gating_of(how: Gate, catalog: Catalog, dim: int, causal: bool = False) -> Gating:
    """A fresh gate for the modalities of a catalog; see `Gating`."""
    present_NM = torch.stack([torch.from_numpy(aligned.present) for aligned in catalog.modalities.values()], dim=1)
    return Gating(how, catalog.modalities, present_NM, dim, causal)
