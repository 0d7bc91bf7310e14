"""Packed transformers: against torch's modules, trimmed or not; how they start; what they drop."""

from typing import Any

import numpy as np
import pytest
import torch
from checked import faults
from checked import load as load_study_file
from reference_transformers import TorchTransformer
from tiny_two_cells import StudyFactory
from torch import Tensor

from raysweep.data.tokens import Tokens
from raysweep.data.views import Features
from raysweep.errors import InputError
from raysweep.models import held, trimmed
from raysweep.models.dropout import Dropout, derived, keys_of
from raysweep.models.transformer import Transformer
from raysweep.study.cells import expand, varying
from raysweep.study.reader import StudyFileError

TOKENS = Tokens(count=9, features=3)
POOLINGS = ("mean", "class", "mean_padded")
M, N = 3, 40


def encoder(**options: Any) -> Transformer:
    given = {"depth": 3, "width": 8, "heads": 2, **options}
    return Transformer(Features(TOKENS.columns, TOKENS), **given)


def rows(lengths: np.ndarray | None = None) -> Tensor:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(M):
        own = rng.integers(0, 10, N) if lengths is None else lengths
        found.append(TOKENS.rows(rng.normal(size=(N, 9, 3)), own))
    return torch.from_numpy(np.stack(found))


def weights(of: Transformer) -> Tensor:
    drawn = [of.initial_parameters(np.random.default_rng(seed)) for seed in range(M)]
    return torch.from_numpy(np.stack(drawn))


def layers_and_gradient(of: Transformer, x: Tensor, keys: Tensor | None = None) -> list[Tensor]:
    """All layers, and the gradient of a random function of them."""
    parameters = weights(of).requires_grad_()
    layers = of.forward(parameters, x, keys)
    generator = torch.Generator().manual_seed(2)
    pull = [torch.randn(h.shape, generator=generator, dtype=h.dtype) for h in layers]
    (gradient,) = torch.autograd.grad(
        sum((p * h).sum() for p, h in zip(pull, layers, strict=True)), parameters
    )
    return [*layers, gradient]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("norm", ["post", "pre"])
def test_all_layers_are_those_of_torchs_modules(pooling: str, norm: str) -> None:
    of, x = encoder(pooling=pooling, norm=norm, feedforward=11), rows()
    assert of.layers == 3
    *layers, _ = layers_and_gradient(of, x)
    for member, flat in enumerate(weights(of)):
        alone = TorchTransformer(of, 4).double().train()
        alone.load(torch.cat((flat, torch.zeros(alone.head_size, dtype=torch.float64))))
        for own, layer in zip(alone.layers(x[member]), layers, strict=True):
            torch.testing.assert_close(layer[member].mT, own, atol=1e-12, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "class"])
@pytest.mark.parametrize("lengths", ["any", "equal", "none", "one_row", "some_empty"])
def test_trimmed_groups_change_nothing(
    pooling: str, lengths: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = encoder(pooling=pooling, dropout=0.4)
    keys = keys_of(range(M))
    x = {
        "any": rows(),
        "equal": rows(np.full(N, 6)),
        "none": rows(np.zeros(N, dtype=int)),
        "one_row": rows()[:, :1],
        "some_empty": rows(np.arange(N) % 2),
    }[lengths]
    for given in (None, keys):
        trimmed_ones = layers_and_gradient(of, x, given)
        monkeypatch.setattr(trimmed, "GROUPS", 1)
        for one, other in zip(trimmed_ones, layers_and_gradient(of, x, given), strict=True):
            torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
        monkeypatch.undo()
    if lengths == "none" and pooling == "mean":
        assert all(h.abs().max() == 0 for h in of.forward(weights(of), x))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_what_stands_in_padding_and_other_rows_count_for_nothing(pooling: str) -> None:
    of, x = encoder(pooling=pooling), rows()
    layers = of.forward(weights(of), x)
    some = of.forward(weights(of), x[:, 7:12])
    for whole, part in zip(layers, some, strict=True):
        torch.testing.assert_close(whole[:, :, 7:12], part, atol=1e-12, rtol=0)
    # One sample longer than all others, so that these are trimmed to their own.
    first = of.forward(weights(of), rows(np.array([9] + [2] * (N - 1))))
    second = of.forward(weights(of), rows(np.array([3] + [2] * (N - 1))))
    torch.testing.assert_close(first[-1][:, :, 1:], second[-1][:, :, 1:], atol=1e-12, rtol=0)


def test_without_a_graph_rows_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    of, x = encoder(), rows()
    whole = of.forward(weights(of).requires_grad_(), x)
    monkeypatch.setattr(held, "_PART_BYTES", 1)
    for one, other in zip(whole, of.forward(weights(of), x), strict=True):
        torch.testing.assert_close(one.detach(), other, atol=1e-12, rtol=0)


def test_a_row_of_features_is_cut_into_patches_in_order() -> None:
    flat = Transformer(Features(12), 2, 8, patches=4)
    tokens = Tokens(count=4, features=3)
    sequences = Transformer(Features(tokens.columns, tokens), 2, 8)
    assert flat.sizes == sequences.sizes
    x = torch.randn(M, 5, 12, dtype=torch.float64)
    whole = torch.cat((x, torch.full((M, 5, 1), 4.0, dtype=torch.float64)), dim=2)
    for one, other in zip(
        flat.forward(weights(flat), x), sequences.forward(weights(flat), whole), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_sequences_of_one_token(pooling: str) -> None:
    tokens = Tokens(count=1, features=3)
    of = Transformer(Features(tokens.columns, tokens), 2, 8, pooling=pooling)
    lengths = torch.arange(N, dtype=torch.float64)[:, None] % 2
    x = torch.cat((torch.randn(N, 3, dtype=torch.float64) * lengths, lengths), dim=1)
    alone = TorchTransformer(of, 4).double().train()
    flat = weights(of)[:1]
    alone.load(torch.cat((flat[0], torch.zeros(alone.head_size, dtype=torch.float64))))
    for own, layer in zip(alone.layers(x), of.forward(flat, x[None]), strict=True):
        torch.testing.assert_close(layer[0].mT, own, atol=1e-12, rtol=0)


def test_initial_weights_are_distributed_as_torchs() -> None:
    of = Transformer(Features(60), 2, 32, patches=12, pooling="class", feedforward=50)
    torch.manual_seed(0)
    torchs = TorchTransformer(of, 3)
    flat = torch.from_numpy(of.initial_parameters(np.random.default_rng(0)))
    at = 0
    for name, theirs in zip(of.sizes, torchs.weights(), strict=True):
        size = theirs.numel()
        mine = flat[at : at + size]
        at += size
        if name not in ("class", "positions"):
            assert mine.abs().max() <= theirs.abs().max() * 1.15 + 1e-9, name
        if size >= 500:
            assert mine.std().item() == pytest.approx(theirs.std().item(), rel=0.12), name
        assert bool((mine == mine[0]).all()) == bool((theirs == theirs.flatten()[0]).all()), name
    blocks = flat[-2 * (at_of_block := (of.parameter_count - of_head(of)) // 2) :].view(2, -1)
    assert at_of_block * 2 + of_head(of) == of.parameter_count
    assert (blocks[0] - blocks[1]).abs().max() > 0.1
    equal = Transformer(of.features, 2, 32, patches=12, pooling="class", equal_layers=True)
    flat = torch.from_numpy(equal.initial_parameters(np.random.default_rng(0)))[of_head(equal) :]
    assert torch.equal(flat.view(2, -1)[0], flat.view(2, -1)[1])


def of_head(of: Transformer) -> int:
    """Parameters in front of the blocks."""
    return sum(int(np.prod(s)) for name, s in of.sizes.items() if not name[0].isdecimal())


def test_dropout_is_a_fair_coin_of_its_place() -> None:
    keys = keys_of([0, 1, 2])
    x, numbers = torch.ones(3, 200, 50), torch.arange(200).expand(3, -1)
    drop = Dropout(0.3, derived(keys, 5))
    dropped = drop(x, 0, numbers)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    zero = (dropped == 0).double()
    assert zero.mean(dim=(1, 2)).tolist() == pytest.approx([0.3] * 3, abs=0.015)
    others = {
        "place": drop(x, 1, numbers),
        "step": Dropout(0.3, derived(keys, 6))(x, 0, numbers),
        "member": dropped.roll(1, dims=0),
        "row": dropped.roll(1, dims=1),
        "feature": dropped.roll(1, dims=2),
    }
    for what, other in others.items():
        both = torch.stack((zero.flatten(), (other == 0).double().flatten()))
        assert abs(torch.corrcoef(both)[0, 1]) < 0.03, what
    # A batch in another order drops the same of each row.
    order = torch.randperm(200)
    again = drop(x[:, order], 0, numbers[:, order])
    assert torch.equal(again, dropped[:, order])


def test_dropout_keeps_the_mean_and_rests_in_evaluation() -> None:
    of, x = encoder(depth=1, dropout=0.2), rows(np.full(N, 9))
    parameters = weights(of)
    plain = of.forward(parameters, x)[0]
    steps = [of.forward(parameters, x, derived(keys_of(range(M)), s))[0] for s in range(40)]
    spread = torch.stack(steps)
    assert spread.std(dim=0).mean() > 0.05
    # What is dropped before LayerNorm does not average to what is not dropped, but nearly.
    centred, mean = plain - plain.mean(), spread.mean(dim=0)
    assert torch.corrcoef(torch.stack((centred.flatten(), mean.flatten())))[0, 1] > 0.9


def test_activations_count_what_the_graph_holds() -> None:
    def of(depth: int, count: int, width: int = 16) -> int:
        tokens = Tokens(count, 4)
        return Transformer(Features(tokens.columns, tokens), depth, width).activations

    # A block keeps some ten numbers a feature of every position.
    by_block = of(3, 50) - of(2, 50)
    assert 8 * 50 * 16 < by_block < 24 * 50 * 16
    assert of(2, 100) == pytest.approx(2 * of(2, 50), rel=0.1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"heads": 3}, "heads is 3, which does not divide the width 8"),
        ({"features": Features(12)}, "12 features and no tokens; patches says into how many"),
        (
            {"features": Features(12), "patches": 5},
            "patches is 5, which does not divide the 12 features of a modality; expected one of "
            "1, 2, 3, 4, 6, 12",
        ),
    ],
)
def test_sizes_that_do_not_go_together(given: dict[str, Any], words: str) -> None:
    features = given.pop("features", Features(TOKENS.columns, TOKENS))
    with pytest.raises(InputError, match=words):
        Transformer(features, 1, 8, **given)


BOTH = ("model.encoder=[mlp, transformer]", "model.options.patches=4")


def test_encoders_are_an_axis_of_the_grid(study_of: StudyFactory) -> None:
    plain, both = study_of(), study_of(*BOTH)
    cells = expand(both)
    assert [c.id for c in cells if c.encoder == "mlp"] == [c.id for c in expand(plain)]
    assert len(set(varying(cells).values())) == len(cells) == 4
    assert both.cells_of(both.data[0]) == 4
    other = expand(study_of(BOTH[0], "model.options={patches: 4, heads: 2}"))
    same = {c.id for c in cells} & {c.id for c in other}
    assert same == {c.id for c in cells if c.encoder == "mlp"}
    assert both.science() == plain.science()


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (BOTH[:1], "model.encoder.1: a modality has 12 features and no tokens; patches says into"),
        (
            (BOTH[0], "model.options.patches=5"),
            "model.options.patches: patches is 5, which does not divide the 12 features of a",
        ),
        (
            (*BOTH, "model.options.heads=3"),
            "model.options.heads: heads is 3, which does not divide the width 8",
        ),
        (
            (*BOTH, "model.options.pooling=max"),
            "model.options.pooling: expected one of mean, class, mean_padded, found 'max'",
        ),
        (
            (*BOTH, "model.options.headz=2"),
            "model.options.headz: unknown option of mlp, transformer 'headz' (did you mean heads?",
        ),
        (
            (*BOTH, "training.engine=kernel"),
            "engine kernel trains mlp encoders only, and model.encoder is mlp, transformer; take",
        ),
        (("model.encoder=[mlp, mlp]",), "values used twice: mlp"),
        (("model.encoder=[mlp, mpl]",), "model.encoder.1: unknown encoder 'mpl' (did you mean"),
    ],
)
def test_what_is_wrong_with_encoders(
    study_of: StudyFactory, overrides: tuple[str, ...], fault: str
) -> None:
    assert any(fault in found for found in faults(study_of, *overrides)), faults(
        study_of, *overrides
    )


def test_a_users_own_stands_beside_built_in_ones(study_of: StudyFactory) -> None:
    own = "model.encoder=[transformer, 'own_encoders:convolution']"
    study = study_of(own, "model.options={patches: 4, channels: 5}")
    assert [dict(cell.options) for cell in expand(study)[:2]] == [{"patches": 4}, {}]
    assert study.science()["encoder"]["options"] == {"channels": 5}


def test_patches_of_sequences_alone_mean_nothing(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    both = {f"x{k}": rng.normal(size=(120, 4, 2)) for k in (1, 2)}
    np.savez(tmp_path / "own.npz", **both, y=rng.integers(0, 2, 120))
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: s\ndata: {dataset: arrays, path: own.npz}\ntraining: {batch_size: 16}\n"
        "model: {encoder: transformer}\n"
    )
    assert load_study_file(study).model.encoder == ("transformer",)
    with pytest.raises(StudyFileError, match="so that no row is cut into patches; leave it out"):
        load_study_file(study, "model.options.patches=2")
