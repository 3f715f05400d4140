"""What the page says of modalities follows from the weights, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from report import sample
from report.test_page import changed, leaves, text_of
from siftrec.noise.modal import Modal
from siftrec.report import noise_page
from siftrec.report.data import Modalities, Slot
from siftrec.report.modalities import Covered, Weighing, modalities
from siftrec.report.words import weighed

COVERED = {name: Covered(40, 0, 0) for name in ("cover", "caption", "sound")}


@pytest.fixture(scope="module")
def weighing() -> Weighing:
    return sample.weighing()


@pytest.fixture(scope="module")
def found(weighing: Weighing) -> Modalities:
    return modalities(weighing, COVERED)


def test_a_preference_is_the_attended_mean_of_the_weights(weighing: Weighing) -> None:
    """Against a loop: Σ_t a_t γ_tm, shared out over the modalities."""
    weights = weighing.found.weights
    for row in range(len(weighing.log)):
        here = slice(weighing.log.offsets[row], weighing.log.offsets[row + 1])
        mass = (weights.weight_EM[here] * weights.share_E[here, None]).sum(axis=0)
        if (weights.evidence_EM[here] > 0).any():
            np.testing.assert_allclose(weighing.preference[row], mass / mass.sum(), rtol=1e-5)
        else:
            assert np.isnan(weighing.preference[row]).all()


def test_users_fall_into_the_cluster_of_what_they_prefer(weighing: Weighing, found: Modalities) -> None:
    users = int((weighing.log.lengths > 0).sum())
    assert sum(each.count for each in found.clusters) + found.untold == users
    assert found.untold == int((weighing.log.lengths == 1).sum())
    named = {each.label: each for each in found.clusters}
    assert named["mostly cover"].weights[0] == max(named["mostly cover"].weights)
    assert named["mostly cover"].count > 20
    assert named["mostly caption"].count > 20
    for each in (found.overall, *found.by_popularity, *found.clusters):
        assert sum(each.weights) == pytest.approx(1)
    assert all(sum(each.count for each in one.users) == users - found.untold for one in found.each)
    assert sum(each.count for each in found.by_popularity) == found.overall.count


def test_equal_weights_make_nobody_prefer_anything(weighing: Weighing) -> None:
    """The null control: no cluster may appear where there is no preference."""
    weights = weighing.found.weights
    equal = weights.present_EM / np.maximum(weights.present_EM.sum(axis=1, keepdims=True), 1)
    both = np.ones_like(weights.present_EM)
    flat = replace(weights, weight_EM=(equal * 0 + 1 / 3).astype(np.float32), present_EM=both)
    said = modalities(replace(weighing, found=Modal(flat, weighing.found.noise)), COVERED)
    assert [each.label for each in said.clusters] == ["no clear preference"]


def test_histories_are_real_and_of_different_users(weighing: Weighing, found: Modalities) -> None:
    assert len(found.histories) == 5
    assert len({each.user for each in found.histories}) == 5
    for history in found.histories:
        row = int(history.user[1:])
        codes = weighing.log[row][-len(history.read) :]
        assert [each.id for each in history.read] == [weighing.names.item(int(code)) for code in codes]
        assert [each.position for each in history.read][-1] == history.length
        for each in history.read:
            assert sum(slot.weight or 0 for slot in each.slots) == pytest.approx(1, abs=1e-5)
    strongest = found.histories[0]
    long = weighing.told & (weighing.log.lengths >= 5)
    assert strongest.preference[0] == pytest.approx(weighing.preference[long, 0].max())


def test_every_field_of_the_section_is_shown() -> None:
    view = sample.noise_view()
    before = noise_page(view)
    where: dict[str, list[tuple[int | str, ...]]] = {}
    for name, path in leaves(view):
        if path[0] == "modalities":
            where.setdefault(name, []).append(path)
    measured = {name for name in where if name.startswith("Detection.")}
    assert len(where) > 25
    for name, paths in where.items():
        if name in measured and not name.startswith(("Detection.auroc", "Detection.rho")):
            continue  # the section shows less of a detection than the one on interactions
        some = paths[:: max(1, len(paths) // 20)]
        shown = any(noise_page(changed(view, path)) != before for path in some)
        assert shown or name in ("Slot.noise", "Slot.flagged", "Slot.foreign") or name.endswith("mechanism"), name


def test_what_is_absent_is_called_so_and_doubt_is_told() -> None:
    assert weighed(Slot(None, None, False)) == "absent"
    assert weighed(Slot(0.25, None, False)) == "25\u00a0%"
    assert weighed(Slot(0.25, 0.9, True)).endswith("flagged as foreign")
    assert weighed(Slot(0.25, 0.6, False)).endswith("more likely foreign than not")
    said = text_of(noise_page(sample.noise_view()))
    assert "sound absent" in said
    assert "Of 1 user nothing can be said" in said or "users nothing can be said" in said


@pytest.mark.parametrize("parts", [("only",), tuple(f"m{k}" for k in range(8))])
def test_one_modality_or_eight_make_a_page(parts: tuple[str, ...]) -> None:
    weighing = sample.weighing(parts=parts)
    said = modalities(weighing, {name: Covered(40, 0, 0) for name in parts})
    page = noise_page(replace(sample.noise_view(), modalities=said))
    assert page.count("part-0") > 10
    assert f"part-{min(len(parts), 6) - 1}" in page
