"""Losses that leave rows of a sample's own group out of its negatives."""

import math

import pytest
import torch
import torch.nn.functional as F
from tiny_activations import M, activations, initial
from torch import Tensor

from raysweep.losses import LOSSES, OverPairs, build_loss
from raysweep.losses.pairwise import members_at_once, same_group

B = 12
GROUPS = torch.tensor(
    [
        [0, 0, 0, 1, 1, 2, 3, 4, 4, 4, 4, 5],  # some alone, in order
        [7, 1, 7, 3, 1, 7, 2, 2, 9, 3, 1, 7],  # mixed up
        [5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6],  # two
    ]
)


def left(of: Tensor, i: int) -> list[int]:
    """The other samples that do not belong to sample i on any side, from groups [s, b]."""
    return [j for j in range(of.shape[1]) if not (of[:, j] == of[:, i]).any()]


def infonce(x: Tensor, y: Tensor, of: Tensor, temperature: float | Tensor = 0.07) -> Tensor:
    total = torch.zeros((), dtype=x.dtype)
    for i in range(len(x)):
        for a, b in ((x, y), (y, x)):
            seen = [i, *left(of, i)]
            logits = torch.stack([F.cosine_similarity(a[i], b[j], dim=0) for j in seen])
            total = total - F.log_softmax(logits / temperature, dim=0)[0]
    return total / (2 * len(x))


def siglip(
    x: Tensor, y: Tensor, of: Tensor, scale: float | Tensor = 10.0, bias: float | Tensor = -10.0
) -> Tensor:
    total = torch.zeros((), dtype=x.dtype)
    for i in range(len(x)):
        for j in [i, *left(of, i)]:
            logit = scale * F.cosine_similarity(x[i], y[j], dim=0) + bias
            total = total - F.logsigmoid(logit if i == j else -logit)
    return total / len(x)


def soft_knn(x: Tensor, y: Tensor, of: Tensor, temperature: float = 0.1) -> Tensor:
    terms = []
    for i in range(len(x)):
        others = left(of, i)
        if others:
            p, q = (
                F.log_softmax(F.cosine_similarity(z[i][None], z[others]) / temperature, dim=0)
                for z in (x, y)
            )
            terms.append((p.exp() * (p - q)).sum() + (q.exp() * (q - p)).sum())
    return torch.stack(terms).mean() / 2


def uniformity(x: Tensor, y: Tensor, of: Tensor, sharpness: float = 2.0) -> Tensor:
    values = []
    for side, z in enumerate((x, y)):
        own = of[side % len(of)][None]
        far = [
            torch.exp(-sharpness * (2 - 2 * F.cosine_similarity(z[i], z[j], dim=0)))
            for i in range(len(z))
            for j in left(own, i)
        ]
        values.append(torch.stack(far).mean().log())
    return (values[0] + values[1]) / 2


DEFINITIONS = {
    "infonce": infonce,
    "siglip": siglip,
    "soft_knn": soft_knn,
    "uniformity": uniformity,
}
# name, options of the loss, those of the definition too, d1, d2
CASES: list[tuple[str, dict[str, object], dict[str, float], int, int]] = [
    ("infonce", {}, {}, 4, 4),
    ("infonce", {}, {"temperature": 0.01}, 4, 4),
    ("siglip", {"learned": False}, {}, 4, 4),
    ("siglip", {"learned": False}, {"scale": 3.0, "bias": 0.5}, 4, 4),
    ("soft_knn", {}, {}, 4, 6),
    ("soft_knn", {}, {"temperature": 0.015}, 4, 6),
    ("uniformity", {}, {}, 4, 6),
    ("uniformity", {}, {"sharpness": 30.0}, 4, 6),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]


def test_every_loss_with_negatives_has_a_definition() -> None:
    assert {name for name, entry in LOSSES.items() if entry.negatives} == set(DEFINITIONS)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize(("name", "options", "shared", "d1", "d2"), CASES, ids=IDS)
def test_values_and_gradients_are_those_of_the_masked_definition(
    name: str,
    options: dict[str, object],
    shared: dict[str, float],
    d1: int,
    d2: int,
    sides: int,
) -> None:
    h1, h2 = activations(0, d1, d2, b=B)
    # Of shuffled pairs the second side's groups are others.
    groups = torch.stack((GROUPS, GROUPS.roll(5, dims=1)), dim=1)[:, :sides]
    loss = build_loss(name, {**options, **shared})
    output = loss.value_and_gradients(h1, h2, h1.new_zeros(M, 0), groups)
    h1.requires_grad_()
    h2.requires_grad_()
    expected = torch.stack(
        [DEFINITIONS[name](h1[i].T, h2[i].T, groups[i], **shared) for i in range(M)]
    )
    by_1, by_2 = torch.autograd.grad(expected.sum(), (h1, h2))
    torch.testing.assert_close(output.value, expected.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(output.grad_1, by_1, rtol=1e-8, atol=1e-11)
    torch.testing.assert_close(output.grad_2, by_2, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", ["infonce", "siglip"])
def test_learned_numbers_and_projections_get_gradients_of_the_masked_definition(name: str) -> None:
    h1, h2 = activations(1, 4, 4, b=B)
    loss = build_loss(name, {"learned": True})
    own = initial(loss, 4, 4)
    output = loss.value_and_gradients(h1, h2, own, GROUPS[:, None])
    own.requires_grad_()
    values = []
    for i in range(M):
        given = {"scale": own[i, 0].exp(), "bias": own[i, -1]}
        if name == "infonce":
            given = {"temperature": 1 / own[i, 0].exp()}
        values.append(DEFINITIONS[name](h1[i].T, h2[i].T, GROUPS[i, None], **given))
    (by_own,) = torch.autograd.grad(torch.stack(values).sum(), own)
    torch.testing.assert_close(output.grad_parameters, by_own, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("options", [{"projection": "mlp"}, {"stop_gradient": "1"}])
@pytest.mark.parametrize("name", list(DEFINITIONS))
def test_wrapped_losses_see_the_groups(name: str, options: dict[str, object]) -> None:
    h1, h2 = activations(1, 4, 4, b=B)
    loss = build_loss(name, options)
    own = initial(loss, 4, 4)
    alone = loss.value_and_gradients(h1, h2, own)
    grouped = loss.value_and_gradients(h1, h2, own, GROUPS[:, None])
    assert (alone.value != grouped.value).all()
    if options.get("stop_gradient"):
        assert not grouped.grad_1.any()


@pytest.mark.parametrize("name", list(LOSSES))
def test_rows_that_stand_alone_leave_every_bit_and_other_losses_take_no_notice(name: str) -> None:
    h1, h2 = activations(2, 4, 4, b=B, dtype=torch.float32)
    loss = build_loss(name)
    own = initial(loss, 4, 4).to(h1)
    groups = GROUPS if not LOSSES[name].negatives else torch.arange(B).expand(M, -1)
    alone = loss.value_and_gradients(h1, h2, own)
    grouped = loss.value_and_gradients(h1, h2, own, groups[:, None])
    for field in ("value", "grad_1", "grad_2", "grad_parameters"):
        assert torch.equal(getattr(grouped, field), getattr(alone, field))


def test_a_batch_of_one_group_has_no_negatives() -> None:
    h1, h2 = activations(3, 4, 4, b=B)
    one = torch.zeros(M, 1, B, dtype=torch.int64)
    for name, expected in (("infonce", 0.0), ("soft_knn", math.nan), ("uniformity", math.nan)):
        output = build_loss(name).value_and_gradients(h1, h2, h1.new_zeros(M, 0), one)
        torch.testing.assert_close(output.value, h1.new_full((M,), expected), equal_nan=True)
        assert not output.grad_1.any()
        assert not output.grad_2.any()
    siglip_ = build_loss("siglip", {"learned": False})
    output = siglip_.value_and_gradients(h1, h2, h1.new_zeros(M, 0), one)
    logits = 10 * F.cosine_similarity(h1, h2, dim=1) - 10
    torch.testing.assert_close(output.value, -F.logsigmoid(logits).mean(1))


def test_a_mixed_pack_has_each_members_own_undefinedness() -> None:
    h1, h2 = activations(3, 4, 4, b=B)
    groups = GROUPS.clone()
    groups[1] = 0
    output = build_loss("soft_knn").value_and_gradients(h1, h2, h1.new_zeros(M, 0), groups[:, None])
    assert output.value.isnan().tolist() == [False, True, False]
    assert output.grad_1.isfinite().all()
    assert not output.grad_1[1].any()
    assert output.grad_1[0].any()


def test_pieces_of_a_large_pack_have_their_own_groups() -> None:
    m, b = 6, 300
    assert members_at_once(b, on_cpu=True) < m
    h1, h2 = activations(4, 3, 3, b=b, m=m)
    groups = torch.randint(0, 60, (m, 1, b), generator=torch.Generator().manual_seed(0))
    loss = build_loss("infonce")
    whole = loss.value_and_gradients(h1, h2, h1.new_zeros(m, 0), groups)
    for i in range(m):
        own = [of[i : i + 1] for of in (h1, h2, h1.new_zeros(m, 0), groups)]
        alone = loss.value_and_gradients(*own)
        torch.testing.assert_close(whole.value[i], alone.value[0])
        torch.testing.assert_close(whole.grad_1[i], alone.grad_1[0])


def test_pairs_of_three_modalities_have_the_groups_of_their_two() -> None:
    h1, h2 = activations(5, 4, 4, b=B)
    hs = (h1, h2, h1.flip(2))
    groups = torch.stack((GROUPS, GROUPS.roll(1, 1), GROUPS.roll(5, 1)), dim=1)
    loss = build_loss("infonce")
    found = OverPairs(loss).value_and_gradients(hs, h1.new_zeros(M, 0), groups)
    values = [
        loss.value_and_gradients(hs[a], hs[b], h1.new_zeros(M, 0), groups[:, [a, b]]).value
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    torch.testing.assert_close(found.value, torch.stack(values).mean(0))


@pytest.mark.parametrize(("name", "packed"), [("contrast", False), ("packed_contrast", True)])
def test_a_users_loss_gets_the_mask_that_it_asks_for(name: str, packed: bool) -> None:
    h1, h2 = activations(6, 4, 4, b=B)
    loss = build_loss(f"own_losses:{name}", {"packed": packed})
    nothing = h1.new_zeros(M, 0)
    for groups in (None, GROUPS[:, None]):
        output = loss.value_and_gradients(h1, h2, nothing, groups)
        for i in range(M):
            own = torch.arange(B)[None] if groups is None else groups[i]
            seen = [[j, *left(own, j)] for j in range(B)]
            logits = h1[i].T @ h2[i]
            each = [-F.log_softmax(logits[j, seen[j]], dim=0)[0] for j in range(B)]
            torch.testing.assert_close(output.value[i], torch.stack(each).mean())


def test_a_users_loss_that_does_not_ask_gets_no_mask() -> None:
    h1, h2 = activations(6, 4, 4, b=B)
    nothing = h1.new_zeros(M, 0)
    plain = build_loss("own_losses:distance")
    assert torch.equal(
        plain.value_and_gradients(h1, h2, nothing, GROUPS[:, None]).value,
        plain.value_and_gradients(h1, h2, nothing).value,
    )
    # An option of the user's own that is called so stays the user's.
    own = build_loss("own_losses:old_option", {"same_group": 3.0})
    value = own.value_and_gradients(h1, h2, nothing, GROUPS[:, None]).value
    torch.testing.assert_close(value, 3 * (h1 - h2).square().mean((1, 2)))


def test_same_group_has_no_diagonal() -> None:
    together = same_group(GROUPS[:, None])
    for m in range(M):
        for i in range(B):
            expected = [j for j in range(B) if j != i and GROUPS[m, i] == GROUPS[m, j]]
            assert together[m, i].nonzero()[:, 0].tolist() == expected
