"""Encoders: padding, batch order and the future must change nothing."""

import math

import pytest
import torch

from siftrec.nn.dropout import dropout
from siftrec.nn.encoders import make_encoder
from siftrec.nn.pooling import reading_logits
from siftrec.nn.towers import ItemTower

ENCODERS = ["context", "recent", "mean", "gru", "transformer", "context of 3", "recent of 3"]


def made(name: str, dim: int = 8, length: int = 12) -> torch.nn.Module:
    """The named encoder; `of H` = with layers of width H."""
    name, _, hidden = name.partition(" of ")
    with torch.random.fork_rng():
        torch.manual_seed(0)  # a test's own weights
        return make_encoder(name, dim, length, 0.3, 2, 2, int(hidden or dim))


def rows(lengths: list[int], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    vectors = torch.randn(len(lengths), width, 8, generator=torch.Generator().manual_seed(1))
    real = torch.arange(width) >= width - torch.tensor(lengths)[:, None]
    return vectors * real[..., None], real


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_and_batch_order_change_nothing(name):
    encoder = made(name)
    vectors, real = rows([1, 3, 6, 4], 6)
    alone = encoder(vectors, real, None)
    padded = encoder(
        torch.nn.functional.pad(vectors, (0, 0, 5, 0), value=9.0), torch.nn.functional.pad(real, (5, 0)), None
    )
    torch.testing.assert_close(alone, padded, rtol=1e-5, atol=1e-6)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(encoder(vectors[order], real[order], None), alone[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_empty_history_is_finite(name):
    vectors, real = rows([0, 2], 4)
    assert torch.isfinite(made(name)(vectors, real, None)).all()


@pytest.mark.parametrize("name", ["context", "recent", "gru", "transformer"])
def test_order_matters_where_it_should(name):
    encoder = made(name)
    if name in ("context", "recent"):
        with torch.no_grad():
            encoder.position.normal_(generator=torch.Generator().manual_seed(2))
    vectors, real = rows([6], 6)
    assert (encoder(vectors, real, None) - encoder(vectors.flip(1), real, None)).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["context", "recent", "gru", "context of 3"])
def test_states_are_what_the_encoder_makes_of_every_prefix(name):
    """Trained on states, it is asked with whole histories. (The transformer's positions count from the window's end.)"""
    encoder = made(name)
    if name in ("context", "recent"):
        with torch.no_grad():
            encoder.position.normal_(generator=torch.Generator().manual_seed(2))
    vectors, real = rows([6, 4, 1], 6)
    states = encoder.states(vectors + 9.0 * ~real[..., None], real, None)
    assert states.shape == vectors.shape
    for end in range(1, 7):
        alone = encoder(vectors[:, :end], real[:, :end], None)
        asked = real[:, end - 1]
        torch.testing.assert_close(states[asked, end - 1], alone[asked], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["context", "recent", "context of 3"])
def test_answers_are_those_that_training_sees(name, monkeypatch):
    """Training reads through one formula, answers through another that is quicker without a gradient."""
    monkeypatch.setattr("siftrec.nn.pooling.BLOCK_BYTES", 8 * 8 * 4 * 2)  # several blocks, the last not full
    encoder = made(name)
    with torch.no_grad():
        encoder.position.normal_(generator=torch.Generator().manual_seed(2))
    vectors, real = rows([6, 4, 1, 0, 5], 6)
    for trust in (None, torch.linspace(-3, 0, 30).view(5, 6)):
        trained = encoder(vectors, real, None, trust).detach()
        with torch.no_grad():
            answered = encoder(vectors, real, None, trust)
            alone = torch.cat(
                [
                    encoder(vectors[r, None], real[r, None], None, None if trust is None else trust[r, None])
                    for r in range(5)
                ]
            )
        torch.testing.assert_close(answered, trained, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone, trained, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hidden", [4, 2])
def test_logits_of_every_column_have_the_gradients_autograd_finds(hidden):
    """The fused backward pass against the formula, pair by pair."""
    rng = torch.Generator().manual_seed(4)
    shapes = [(3, 5, 4)] * 2 + [(3, 5, hidden)] * 2 + [(5, hidden), (hidden, 4), (hidden,)]
    given = [torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def plain(e, c, own, around, position, product, ask):
        pairs = [
            torch.tanh(own[:, t] + around[:, p] + position[p - t] + (e[:, t] * c[:, p]) @ product.T) @ ask
            for p in range(5)
            for t in range(p + 1)
        ]
        return torch.stack(pairs, dim=1)

    here, read = torch.tril_indices(5, 5).unbind()
    weight = torch.randn(3, 15, generator=rng, dtype=torch.float64)
    fused = reading_logits(*given)[:, here, read]
    torch.testing.assert_close(fused, plain(*given))
    found = torch.autograd.grad((fused * weight).sum(), given)
    expected = torch.autograd.grad((plain(*given) * weight).sum(), given)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ["context", "recent", "gru", "transformer"])
def test_states_never_read_the_future(name):
    encoder = made(name)
    vectors, real = rows([6, 4], 6)
    changed = vectors.clone()
    changed[:, 4:] *= torch.linspace(-2, 2, 8)
    before, after = encoder.states(vectors, real, None), encoder.states(changed, real, None)
    first = 0 if name in ("context", "recent") else 2  # what the others say of padding is never asked for
    torch.testing.assert_close(before[:, first:4], after[:, first:4])
    assert (before[:, 4:] - after[:, 4:]).abs().min(dim=2).values.max() > 1e-4


def test_dropout_keeps_the_mean_and_is_off_in_evaluation():
    x = torch.ones(200, 1000)
    dropped = dropout(x, 0.25, torch.Generator().manual_seed(0))
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.005)
    assert dropout(x, 0.25, None) is x


@pytest.mark.parametrize("cut", [1, 51, 128, 255])
@pytest.mark.parametrize("shape", [(7, 5, 3), (64,), (0, 4)])
def test_dropout_zeroes_exactly_the_elements_whose_byte_is_below_the_cut(cut, shape):
    x, count = torch.full(shape, 2.0), math.prod(shape)
    words = torch.randint(-(2**63), 2**63 - 1, (-(-count // 8),), generator=torch.Generator().manual_seed(3))
    kept = (words.view(torch.uint8)[:count] >= cut).view(shape)
    wanted = torch.where(kept, 2.0 * 256 / (256 - cut), 0.0)
    torch.testing.assert_close(dropout(x, cut / 256, torch.Generator().manual_seed(3)), wanted)


def test_parts_of_an_item_start_on_one_scale_whatever_their_width():
    size, widths = 2000, {"wide": 512, "narrow": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)  # a test's own weights
        tower = ItemTower(widths, 64, size)
    parts = {name: torch.randn(size, width) / width**0.5 for name, width in widths.items()}
    nothing = {name: torch.zeros(size, width) for name, width in widths.items()}
    codes = torch.arange(size)

    def vectors(content):
        return tower(codes, torch.cat(list(content.values()), dim=1))

    only_ids = vectors(nothing).norm(dim=1).mean()
    for name in widths:
        part = vectors(nothing | {name: parts[name]}) - vectors(nothing)
        assert part.norm(dim=1).mean().item() == pytest.approx(only_ids.item(), rel=0.1)
    assert vectors(parts).norm(dim=1).mean().item() == pytest.approx(1.0, rel=0.1)


def test_the_most_recent_interaction_is_read_apart_from_the_pool():
    """Were it only pooled, two histories of the same items would differ by attention alone."""
    encoder = made("recent")
    with torch.no_grad():
        encoder.ask.zero_()  # every interaction gets the same share
    vectors, real = rows([6], 6)
    swapped = vectors[:, [0, 1, 2, 3, 5, 4]]
    earlier = vectors[:, [1, 0, 2, 3, 4, 5]]
    torch.testing.assert_close(encoder(earlier, real, None), encoder(vectors, real, None))
    assert (encoder(swapped, real, None) - encoder(vectors, real, None)).abs().max() > 0.05


@pytest.mark.parametrize("name", ENCODERS)
def test_full_trust_changes_nothing(name):
    encoder = made(name)
    vectors, real = rows([3, 6], 6)
    trusted = encoder(vectors, real, None, torch.zeros(2, 6))
    torch.testing.assert_close(trusted, encoder(vectors, real, None), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("place", [2, 5])
@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_not_believed_is_not_read(name, place):
    encoder = made(name)
    vectors, real = rows([6, 6], 6)
    trust = torch.zeros(2, 6)
    trust[:, place] = -60.0
    other = vectors.clone()
    other[:, place] = 5.0
    heard = encoder(other, real, None, torch.zeros(2, 6)) - encoder(vectors, real, None, torch.zeros(2, 6))
    assert heard.abs().max() > 1e-3
    torch.testing.assert_close(encoder(other, real, None, trust), encoder(vectors, real, None, trust))
