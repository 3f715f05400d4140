"""Filters in the frequency domain: the convolution they are, and what padding and the future do to them."""

from __future__ import annotations

import math

import pytest
import torch

from siftrec.nn.filters import FilterBlock, Filters


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(length: int = 12, dim: int = 8) -> Filters:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # a test's own weights
        filters = Filters(dim, length, 2, 0.3)
    with torch.no_grad():  # fresh ones hardly mix anything
        for block in filters.blocks:
            block.spectrum.normal_(generator=rng(5))
    return filters


def rows(lengths: list[int], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    real = torch.arange(width) >= width - torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), width, 8, generator=rng(1)) * real[..., None], real


@pytest.mark.parametrize("length", [7, 8])
def test_a_filter_is_the_circular_convolution_with_its_spectrum_s_waves(length):
    """A loop over waves and times: a wrong transform, norm, or half of the spectrum would show."""
    block, dim = FilterBlock(3, length, 0.0), 3
    spectrum = torch.randn(length // 2 + 1, dim, 2, generator=rng(2))
    block.spectrum.data = spectrum
    x = torch.randn(2, length, dim, generator=rng(3))
    kernel = torch.zeros(length, dim)
    for time in range(length):
        for wave in range(length // 2 + 1):
            angle = 2 * math.pi * wave * time / length
            twice = 1 if wave in {0, length / 2} else 2
            cosine, sine = math.cos(angle), math.sin(angle)
            kernel[time] += twice / length * (spectrum[wave, :, 0] * cosine - spectrum[wave, :, 1] * sine)
    expected = torch.zeros_like(x)
    for time in range(length):
        for before in range(length):
            expected[:, time] += kernel[(time - before) % length] * x[:, before]
    torch.testing.assert_close(block.filtered(x), expected, rtol=1e-4, atol=1e-5)


def test_padding_batch_order_and_width_change_nothing():
    filters = made()
    vectors, real = rows([1, 3, 6, 4], 6)
    alone = filters(vectors, real, None)
    wide = torch.nn.functional.pad(vectors, (0, 0, 5, 0), value=9.0)
    torch.testing.assert_close(filters(wide, torch.nn.functional.pad(real, (5, 0)), None), alone, rtol=1e-5, atol=1e-6)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(filters(vectors[order], real[order], None), alone[order], rtol=1e-5, atol=1e-6)


def test_every_state_reads_the_future_so_only_the_last_may_be_asked():
    """FMLP-Rec trained after every position would leak targets: that it cannot be is why states are not given out."""
    filters = made()
    vectors, real = rows([6], 6)
    changed = vectors.clone()
    changed[:, -1] *= torch.linspace(-2, 2, 8)
    before, after = (filters.blocks[0](each, real, None) for each in (vectors, changed))
    assert (before[:, :-1] - after[:, :-1]).abs().amax(dim=2).min() > 1e-3
    assert not hasattr(filters, "states"), "what `Causal` encoders have"


def test_the_last_state_reads_all_in_order():
    filters = made()
    vectors, real = rows([6], 6)
    changed = vectors.clone()
    changed[:, 0] *= -1
    assert (filters(vectors, real, None) - filters(changed, real, None)).abs().max() > 1e-3
    assert (filters(vectors, real, None) - filters(vectors.flip(1), real, None)).abs().max() > 1e-3


def test_an_empty_history_is_zero_and_full_trust_changes_nothing():
    filters = made()
    vectors, real = rows([0, 2], 4)
    found = filters(vectors, real, None)
    assert (found[0] == 0).all()
    torch.testing.assert_close(filters(vectors, real, None, torch.zeros(2, 4)), found)
