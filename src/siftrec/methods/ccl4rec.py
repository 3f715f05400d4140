"""CCL4Rec: contrast over contrastive learning for micro-video recommendation (arXiv 2208.08024), as built here.

The abstract fixes the ideas; the formulas are ours. docs/methods/ccl4rec.md keeps the two apart.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch

from siftrec import seeds
from siftrec.data.catalog import Catalog
from siftrec.data.loader import Batch, Loader, blocks
from siftrec.data.sequences import Sequences
from siftrec.data.split import Fitting
from siftrec.detectors.content import DIRECTIONS, principal, units
from siftrec.detectors.fitted import LENGTH
from siftrec.detectors.slots import pieces
from siftrec.errors import SettingsError
from siftrec.methods.base import Losses, Model
from siftrec.methods.contrast import Contrast, Head, Slots, Views, contrast_losses, drawn_rows
from siftrec.methods.denoise import Denoise, Denoising
from siftrec.methods.model import Local, SequenceModel, Step
from siftrec.methods.positions import Causal
from siftrec.methods.relation import WINDOW, Relation
from siftrec.methods.trained import Trained
from siftrec.modality.standard import kept_widths
from siftrec.nn.encoders import Context, EncoderName, make_encoder
from siftrec.nn.losses.softmax import NOTHING
from siftrec.nn.rows import rows_of
from siftrec.nn.shares import shares
from siftrec.nn.towers import ItemTower
from siftrec.settings import Count, Fraction, Rate, Size, settings


@settings
class CCL4Rec:
    """Two towers trained with hardness-aware views and contrast over contrast.

    Attributes:
        dim: D, vector size.
        length: L, longest history.
        rows: what is a training row. `prefix`: every interaction, with everything before it as its history and with views
            of its own. `sequence`: every window of `length` targets, read once and asked after every position, with views
            of the whole window alone; faster where histories are long, for encoders with a state after every position.
        encoder: how a history becomes a user vector. `context` pools it by what fits the whole; `recent` reads the most
            recent interaction apart as well, for logs where what comes next hangs on what came last; compare on validation.
        blocks: transformer blocks (encoder `transformer` only).
        heads: attention heads (encoder `transformer` only).
        hidden: H, width of the layers of an encoder that pools by attention (`context`, `recent`). See `Context`.
        ids: whether items have an id embedding beside their content; without it every new item works at once.
        dropout: probability, on item vectors of histories.
        scale: expected norm of a fresh item vector.
        negatives: shared negatives per batch.
        full_up_to: catalogs of at most so many items use the full softmax.
        weighted_targets: whether the log's `weight` column weights the next-item loss of each target.
        views: augmentation.
        contrast: losses.
        denoise: finds probable false-positive interactions with a detector of its own and sets them aside; None: not.
    """

    dim: Size = 64
    length: Size = 20
    rows: Literal["prefix", "sequence"] = "prefix"
    encoder: EncoderName = "context"
    blocks: Size = 1
    heads: Size = 2
    hidden: Size = 16
    ids: bool = True
    dropout: Fraction = 0.2
    scale: Rate = 1.0
    negatives: Size = 1024
    full_up_to: Count = 5000
    weighted_targets: bool = True
    views: Views = Views()
    contrast: Contrast = Contrast()
    denoise: Denoise | None = None

    def build(self, catalog: Catalog) -> Model:
        """See `Learned.build`."""
        if not self.ids and not catalog.modalities:
            raise SettingsError("method.ids", "false needs at least one modality; the catalog has none")
        if self.views.importance == "attention" and self.encoder not in ("context", "recent"):
            raise SettingsError("method.views.importance", "'attention' needs encoder = 'context' or 'recent'")
        if self.encoder == "transformer" and self.dim % self.heads:
            raise SettingsError("method.heads", f"must divide dim={self.dim}, {self.heads} does not")
        if self.rows == "sequence":
            self._check_sequence()
        if self.length > LENGTH and self._judges_histories:
            problem = f"at most {LENGTH} where a detector judges histories (denoise.pooling, views.importance)"
            raise SettingsError("method.length", problem)
        widths = kept_widths(catalog)
        if self.denoise is not None:
            self.denoise.check(bool(widths))
        tower = ItemTower(widths, self.dim, len(catalog) if self.ids else 0, self.scale)
        encoder = make_encoder(self.encoder, self.dim, self.length, self.dropout, self.blocks, self.heads, self.hidden)
        head = Head(self.dim, self.contrast.projection)
        relation = Relation(len(catalog), list(widths), self.dim, self.views.queue, head)
        content = len(widths) * DIRECTIONS
        denoising = None if self.denoise is None else Denoising(self.denoise, len(catalog), content)
        if self._detects and (denoising is None or self.views.importance not in denoising.detector.parts):
            known = "none" if denoising is None else f"one for {', '.join(denoising.detector.parts)}"
            problem = f"{self.views.importance!r} needs `denoise` with a detector that has it; there is {known}"
            raise SettingsError("method.views.importance", problem)
        return SequenceModel(catalog, tower, encoder, self.dim, relation, denoising)

    def _check_sequence(self) -> None:
        if self.encoder == "mean":
            problem = "'sequence' needs an encoder with a state after every position, which 'mean' has not"
            raise SettingsError("method.rows", problem)
        if self.denoise is not None and self.denoise.pooling:
            problem = "must be false with rows = 'sequence': later interactions, the answers, would judge earlier ones"
            raise SettingsError("method.denoise.pooling", problem)

    @property
    def around(self) -> bool:
        """Targets are judged by what the user did around them; a `sequence` row has that itself."""
        return self.denoise is not None and self.denoise.targets and self.rows == "prefix"

    @property
    def impressions(self) -> bool:
        """Shown items are judged by the user vector after the whole history; targets are not weighed."""
        return self.rows == "prefix" and not self.around

    @property
    def _detects(self) -> bool:
        return self.views.importance in ("likelihood", "cooccurrence", "blend")

    @property
    def _judges_histories(self) -> bool:
        return self._detects or (self.denoise is not None and self.denoise.pooling)

    def prepare(self, model: Model, data: Fitting, seed: int, share: float = 1.0) -> None:
        """See `Preparing`: fit the detector."""
        model = cast(SequenceModel, model)
        if model.denoising is None:
            return
        model.count(data)
        content_MNG = principal(model.features, model.get_buffer("popularity"))
        model.denoising.fit(data.train, units(content_MNG), seed, share)

    def notes(self, data: Fitting) -> dict[str, float]:
        """Share of the training rows that contrast can use, judged on at most 50,000 rows; impressions have other rows."""
        if not self.contrast.on or data.impressions is not None:
            return {}
        rng = seeds.rng(0, "notes")
        users, ends = Loader(data.train, self.rows, self.length, 1, 0).drawn(rng)
        some = rng.permutation(len(users))[:50_000]
        items_BL = data.train.window(users[some], ends[some], self.length).astype(np.int64)
        able_B = distinct(torch.from_numpy(items_BL)).numpy() >= self.views.fewest
        long_B = ends[some] >= self.views.fewest
        among = f"share of rows augmented among histories of {self.views.fewest} or more"
        return {
            "share of rows augmented": self.views.row_share * able_B.mean().item(),
            among: self.views.row_share * able_B.sum().item() / max(long_B.sum().item(), 1),
        }

    def start_epoch(self, model: Model, data: Fitting, epoch: int, seed: int) -> None:
        """See `Learned.start_epoch`: statistics once; geometry, hubs and calibration before every epoch."""
        model = cast(SequenceModel, model)
        relation = cast(Relation, model.extra)
        rng = seeds.generator(seed, "relation", epoch)
        if epoch == 0:
            model.count(data)
            relation.begin(model, rng)
        if epoch >= self.contrast.warmup:
            model.refresh()
        relation.refresh(model, data.train, self._blend(epoch), self.vouching, epoch, rng)

    @property
    def vouching(self) -> int:
        """How many of the most similar other interactions vouch for one: k, or all of them."""
        return self.length if self.views.importance == "mean_agreement" else self.views.neighbours

    def _blend(self, epoch: int) -> float:
        return self.views.learned if epoch >= self.contrast.warmup else 0.0

    def _hardness(self, epoch: int) -> float:
        if not self.views.ramp:
            return self.views.hardness
        return self.views.hardness * min(1.0, (epoch - self.contrast.warmup + 1) / self.views.ramp)

    def loss(self, model: Model, batch: Batch, rng: torch.Generator) -> Losses:
        """See `Learned.loss`."""
        return self.step(model, batch, rng).losses

    def step(self, model: Model, batch: Batch, rng: torch.Generator) -> Step:
        """See `Sequential.step`."""
        model = cast(SequenceModel, model)
        relation = cast(Relation, model.extra)
        exposed = batch.exposed
        drawn = NOTHING if exposed is not None else model.negatives(self.negatives, self.full_up_to, rng)
        rows = self._augmented(relation, batch, rng)
        offers_O = relation.offers(self.views.offers, rng)
        extra = (offers_O,) if len(rows) else ()
        shown_BC = None if exposed is None else exposed.codes_BC
        local = model.local(batch.items_BL, batch.targets_BP, batch.shown_BLM, drawn.items_K, shown_BC, *extra)
        history = model.history(local, batch.items_BL, batch.shown_BLM)
        trust_BL = model.log_trust(batch.items_BL, batch.user_B)
        if self.rows == "sequence":
            states_BPD = cast(Causal, model.encoder).states(history.vectors_BLD, batch.items_BL > 0, rng)
        else:
            states_BPD = model.encoder(history.vectors_BLD, batch.items_BL > 0, rng, trust_BL).unsqueeze(1)
        weights_BP = batch.weights_BP if self.weighted_targets else torch.ones_like(batch.weights_BP)
        if model.denoising is not None:
            weights_BP = weights_BP * model.denoising.target_weights(batch)
        asked_BP, users_BD = batch.targets_BP > 0, states_BPD[:, -1]
        targets_R = batch.targets_BP[asked_BP]
        if exposed is not None:
            losses = {"clicks": model.clicks(local, users_BD, exposed)}
        else:
            losses = {"next_item": model.next_item(local, states_BPD[asked_BP], targets_R, weights_BP[asked_BP], drawn)}

        def importance(rows_R: torch.Tensor) -> torch.Tensor:
            score_RL = self._scores(model, local, batch, rows_R, rng)
            return shares(score_RL * self.views.sharpness, batch.items_BL[rows_R] > 0)

        done = Step(losses, local, history, users_BD, trust_BL, importance)
        if len(rows):
            losses |= self._contrast(model, done, batch, rows, offers_O, rng)
        relation.remember(targets_R)
        return done

    def _augmented(self, relation: Relation, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        """Rows that take part in contrast: a share of those with enough distinct items, once the warm-up is over."""
        if not self.contrast.on or int(relation.get_buffer("epoch")) < self.contrast.warmup:
            return torch.empty(0, dtype=torch.int64)
        return drawn_rows(distinct(batch.items_BL) >= self.views.fewest, self.views.row_share, rng)

    def _contrast(
        self,
        model: SequenceModel,
        clean: Step,
        batch: Batch,
        rows: torch.Tensor,
        offers_O: torch.Tensor,
        rng: torch.Generator,
    ) -> Losses:
        local, history, users_BD, trust_BL = clean[1:5]
        items_BL, targets_B = batch.items_BL[rows], batch.targets_BP[rows, -1]
        relation = cast(Relation, model.extra)
        with torch.no_grad():
            slots = self._slots(model, clean, batch, rows, offers_O)

        def encode(choice_BVL: torch.Tensor) -> torch.Tensor:
            views_BVL = torch.where(choice_BVL >= 0, offers_O[choice_BVL], items_BL.unsqueeze(1))
            flat, views = views_BVL.flatten(0, 1), views_BVL.shape[1]
            trust_nL = None if trust_BL is None else trust_BL[rows].repeat_interleave(views, 0)
            weight_nML = None if history.gated is None else history.gated.weight_BML[rows].repeat_interleave(views, 0)
            viewed = model.history(local, flat, _shown(batch, rows, choice_BVL, offers_O), weight_nML)
            encoded: torch.Tensor = model.encoder(viewed.vectors_BLD, flat > 0, rng, trust_nL)
            return encoded.view(len(targets_B), -1, self.dim)

        hardness = self._hardness(int(relation.get_buffer("epoch")))
        return contrast_losses(slots, users_BD[rows], encode, relation.head, (self.views, self.contrast), hardness, rng)

    def _slots(
        self, model: SequenceModel, clean: Step, batch: Batch, rows: torch.Tensor, offers_O: torch.Tensor
    ) -> Slots:
        items_BL, targets_B, user_B = batch.items_BL[rows], batch.targets_BP[rows, -1], batch.user_B[rows]
        relation = cast(Relation, model.extra)
        assert clean.importance is not None
        importance_BL = clean.importance(rows)
        own_BO = (items_BL.unsqueeze(2) == offers_O).any(dim=1) | (targets_B.unsqueeze(1) == offers_O)
        vectors_BLG = rows_of(relation.space.vectors_NG, items_BL)
        content_BG = torch.bmm(importance_BL.unsqueeze(1), vectors_BLG).squeeze(1)
        same_BB = (user_B.unsqueeze(1) == user_B) | (targets_B.unsqueeze(1) == targets_B) & (targets_B > 0)
        pair_BLO = relation.space.cosine(items_BL, offers_O)
        return Slots(importance_BL, items_BL > 0, pair_BLO, ~own_BO, content_BG, same_BB)

    def _scores(
        self, model: SequenceModel, local: Local, batch: Batch, rows: torch.Tensor, rng: torch.Generator
    ) -> torch.Tensor:
        """score_BL: higher = more important; the mode decides where it comes from."""
        items_BL, mode = batch.items_BL[rows], self.views.importance
        relation = cast(Relation, model.extra)
        if mode == "random":
            return torch.randn(items_BL.shape, generator=rng)
        if self._detects:
            return cast(Denoising, model.denoising).scores(items_BL, batch.user_B[rows], mode)
        if mode == "oracle":
            return batch.trust_BL[rows] * 4
        if mode == "attention":
            encoder = cast(Context, model.encoder)
            shown_BLM = None if batch.shown_BLM is None else batch.shown_BLM[rows]
            history = model.history(local, items_BL, shown_BLM)
            return encoder.shares(history.vectors_BLD, items_BL > 0).clamp_min(1e-9).log()
        if mode == "target":
            similar = relation.space.cosine(items_BL, batch.targets_BP[rows, -1:]).squeeze(2)
            return torch.where(similar > -torch.inf, similar, 0.0) * 4
        return relation.scores(items_BL, self.vouching)


def _shown(batch: Batch, rows: torch.Tensor, choice_BVL: torch.Tensor, offers_O: torch.Tensor) -> torch.Tensor | None:
    """shown_nLM of views, row-major over (B, V): a substitute comes with its own content."""
    if batch.shown_BLM is None:
        return None
    replaced_BVL1 = (choice_BVL >= 0).unsqueeze(3)
    shown_BVLM = torch.where(replaced_BVL1, offers_O[choice_BVL].unsqueeze(3), batch.shown_BLM[rows].unsqueeze(1))
    return shown_BVLM.flatten(0, 1)


def distinct(items_BL: torch.Tensor) -> torch.Tensor:
    """(B,) number of distinct items of each history."""
    ordered = items_BL.sort(dim=1).values
    return ((ordered[:, 1:] != ordered[:, :-1]) & (ordered[:, 1:] > 0)).sum(dim=1) + (ordered[:, 0] > 0)


def importance_of(trained: Trained, histories: Sequences) -> np.ndarray:
    """How well the rest of its history vouches for each interaction, for any histories, trained on or not.

    Args:
        trained: a trained CCL4Rec.
        histories: item codes of the trained catalog.

    Returns:
        (E,) float32: deviations above what a popularity-drawn item would score in that slot; low = probably noise; 0 where
        nothing can vouch. Histories are judged in consecutive, about equal windows of at most 20 interactions, as long as
        those that calibrate.
    """
    relation = cast(Relation, cast(SequenceModel, trained.scorer).extra)
    neighbours = cast(CCL4Rec, trained.method).vouching
    found = np.zeros(len(histories.items), dtype=np.float32)
    for block in blocks(pieces(histories, WINDOW), WINDOW):
        found[block.events] = relation.scores(block.items_BL, neighbours).numpy()[block.real]
    return found
