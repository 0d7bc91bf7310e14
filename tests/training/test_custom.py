"""A user's own encoders in training: against the built-in engine and against one module alone."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tiny_training import make_members, pick
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

from raysweep.errors import InputError
from raysweep.models.custom import CustomEncoder, custom_encoder
from raysweep.models.encoders import EncoderPair
from raysweep.models.shape import MultimodalShape
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.train import train_pack

TOLERANCE = 1e-10
BUILT_IN = MultimodalShape((5, 4), 3, depths=(2, 3), widths=(6, 6))
SHAPES = pytest.mark.parametrize(
    "shape",
    [
        MultimodalShape((5,), 3, depths=(2,), widths=(6,)),
        BUILT_IN,
        MultimodalShape((5, 4, 7, 3), 3, depths=(2, 3, 3, 3), widths=(6, 6, 6, 6)),
    ],
    ids=["one", "two", "four"],
)


def encoders(name: str, shape: MultimodalShape, **options: object) -> EncoderPair:
    sizes = zip(shape.inputs, shape.depths, shape.widths, strict=True)
    path = f"own_encoders:{name}"
    return EncoderPair(tuple(custom_encoder(path, *size, options) for size in sizes), shape.classes)


def module_order(shape: MultimodalShape) -> Tensor:
    """The built-in buffer, which has each bias behind its row of weights, as torch orders it."""
    columns = torch.arange(shape.parameter_count)[None]
    order = []
    for tower in shape.towers:
        for block in (layer.view(columns)[0] for layer in tower.hidden):
            order += [block[:, :-1].flatten(), block[:, -1]]
        order.append(tower.head.view(columns).flatten())
    if shape.fused_head is not None:
        order.append(shape.fused_head.view(columns).flatten())
    return torch.cat(order)


@dataclass(frozen=True)
class WithBuiltInWeights(EncoderPair):
    """The user's own MLPs, starting from the weights of the built-in ones."""

    like: MultimodalShape

    def initial_parameters(self, seeds: object) -> Tensor:
        return self.like.initial_parameters(seeds)[:, module_order(self.like)]


def make_data(inputs: tuple[int, ...], m: int, rows: int = 60) -> PackData:
    rng = np.random.default_rng(5)

    def split(n: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        y = rng.integers(0, 3, (2, n))
        return tuple(rng.normal(size=(2, n, d)) + y[..., None] * 0.4 for d in inputs), y

    return PackData(*split(rows), *split(30), dataset=np.arange(m) % 2)


def settings(**given: object) -> TrainSettings:
    fixed = {"epochs": 8, "batch_size": 16, "dtype": "float64", "engine": "torch"}
    return TrainSettings(**{**fixed, **given})


@SHAPES
@pytest.mark.parametrize(
    "how",
    [
        settings(fusion="probe", loss="infonce", patience=3),
        settings(fusion="joint", loss="unbiased_cka"),
        settings(fusion="joint", loss="cka", layer=1),
    ],
    ids=["probe", "joint", "layer"],
)
def test_the_same_mlp_trains_as_the_built_in_one(
    shape: MultimodalShape, how: TrainSettings
) -> None:
    alone = {} if len(shape.inputs) > 1 else {"strength": 0.0}
    members, data = make_members(9, **alone), make_data(shape.inputs, 9)
    own = WithBuiltInWeights(encoders("mlp", shape).encoders, shape.classes, shape)
    found, expected = (train_pack(s, members, data, how) for s in (own, shape))
    parameters = expected.parameters[:, module_order(shape)]
    torch.testing.assert_close(found.parameters, parameters, atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(found.gradient_ratio, expected.gradient_ratio, rtol=1e-8)
    np.testing.assert_array_equal(found.best_epoch, expected.best_epoch)
    np.testing.assert_array_equal(found.steps, expected.steps)
    assert how.patience is None or len(set(found.steps)) > 1  # some stopped early
    for modality, x in enumerate(data.x_validation, start=1):
        hidden, logits = found.forward(modality, x)
        layers, expected_logits = expected.forward(modality, x)
        for mine, theirs in zip((*hidden, logits), (*layers, expected_logits), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=0)


def as_made(encoder: CustomEncoder) -> nn.Module:
    """The user's module; set to train where it says itself what that means."""
    module = encoder.factory(inputs=encoder.inputs, depth=encoder.depth, width=encoder.width)
    return module if type(module).train is nn.Module.train else module.train()


class Alone(nn.Module):
    """One member as anybody would write it: modules with a linear head each, and the fused head."""

    def __init__(self, pair: EncoderPair, flat: Tensor) -> None:
        super().__init__()
        self.towers = nn.ModuleList(
            nn.ModuleList([as_made(e), nn.Linear(e.width, pair.classes)]) for e in pair.encoders
        )
        self.fused = nn.Linear(sum(pair.widths), pair.classes)
        self.double()
        at = 0
        for encoder, head in self.towers:
            count = sum(parameter.numel() for parameter in encoder.parameters())
            vector_to_parameters(flat[at : at + count], encoder.parameters())
            at = self._fill(head, flat, at + count)
        assert self._fill(self.fused, flat, at) == len(flat)

    def _fill(self, linear: nn.Linear, flat: Tensor, at: int) -> int:
        rows, columns = linear.weight.shape
        block = flat[at : at + rows * (columns + 1)].view(rows, columns + 1)
        linear.weight.data.copy_(block[:, :-1])
        linear.bias.data.copy_(block[:, -1])
        return at + block.numel()

    def flat(self) -> Tensor:
        parts = []
        for encoder, head in self.towers:
            parts += [parameters_to_vector(encoder.parameters()), _block(head)]
        return torch.cat([*parts, _block(self.fused)]).detach()


def _block(linear: nn.Linear) -> Tensor:
    return torch.cat((linear.weight, linear.bias[:, None]), dim=1).flatten()


def train_alone(
    pair: EncoderPair, members: Members, index: int, data: PackData, how: TrainSettings
) -> tuple[Tensor, float]:
    """A plain loop with torch's AdamW; its last parameters, and its gradient ratio."""
    initial = pair.initial_parameters(members.init_seed)
    model, which = Alone(pair, initial[index]), data.dataset[index]
    xs = [torch.as_tensor(x[which]) for x in data.x_train]
    y = torch.as_tensor(data.y_train[which])
    strength = float(members.strength[index])
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=float(members.learning_rate[index]),
        weight_decay=float(members.weight_decay[index]),
    )
    order = torch.Generator().manual_seed(int(members.order_seed[index]))
    squares = [0.0, 0.0]
    for _ in range(how.epochs):
        permutation = torch.randperm(len(y), generator=order)
        for start in range(0, len(y), how.batch_size):
            rows = permutation[start : start + how.batch_size]
            layers = [encoder(x[rows]) for (encoder, _), x in zip(model.towers, xs, strict=True)]
            layers = [h if isinstance(h, list) else [h] for h in layers]
            tops = [hidden[-1] for hidden in layers]
            logits = [head(h) for (_, head), h in zip(model.towers, tops, strict=True)]
            both = torch.cat(tops, dim=1)
            fused = model.fused(both if how.fusion == "joint" else both.detach())
            task = sum(functional.cross_entropy(o, y[rows]) for o in (*logits, fused))
            h1, h2 = (hidden[-1 if how.layer is None else how.layer - 1] for hidden in layers)
            seen = h2.roll(1, dims=0) if members.placebo[index] else h2
            forced = strength * (h1 - seen).square().mean()
            if start == 0 and strength > 0:
                for place, part in enumerate((forced, task)):
                    found = torch.autograd.grad(part, (h1, h2), retain_graph=True)
                    squares[place] += sum(float(g.square().sum()) for g in found)
            optimizer.zero_grad()
            (task + forced).backward()
            for part in (*model.towers, model.fused):
                clip_grad_norm_(part.parameters(), float(members.clip_norm[index]))
            optimizer.step()
    return model.flat(), (squares[0] / squares[1]) ** 0.5 if strength else 0.0


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("residual", settings(loss="mse", checkpoint="last", fusion="joint")),
        ("residual", settings(loss="mse", checkpoint="last", layer=1)),
        ("convolution", settings(loss="mse", checkpoint="last")),
        ("attention", settings(loss="mse", checkpoint="last", epochs=3)),
        ("frozen_norm", settings(loss="mse", checkpoint="last")),
        ("frozen_by_train", settings(loss="mse", checkpoint="last")),
        ("frozen_stem", settings(loss="mse", checkpoint="last", fusion="joint")),
    ],
    ids=["residual", "layer", "convolution", "attention", "norm", "by train", "stem"],
)
def test_every_member_follows_a_plain_loop_packed_or_alone(name: str, how: TrainSettings) -> None:
    members = make_members(7)
    pair, data = encoders(name, BUILT_IN), make_data(BUILT_IN.inputs, 7)
    together = train_pack(pair, members, data, how)
    for index in (0, 1, 4, 5):
        parameters, ratio = train_alone(pair, members, index, data, how)
        torch.testing.assert_close(together.parameters[index], parameters, atol=1e-9, rtol=0)
        assert together.gradient_ratio[index] == pytest.approx(ratio, rel=1e-7)
        few = dataclasses.replace(data, dataset=data.dataset[[index]])
        alone = train_pack(pair, pick(members, [index]), few, how)
        torch.testing.assert_close(
            alone.parameters[0], together.parameters[index], atol=1e-10, rtol=0
        )


def test_what_is_frozen_stays_as_every_member_drew_it() -> None:
    members, data = make_members(4), make_data(BUILT_IN.inputs, 4)
    pair = encoders("frozen_stem", BUILT_IN)
    before = pair.initial_parameters(members.init_seed)
    after = train_pack(pair, members, data, settings(checkpoint="last")).parameters
    columns = np.zeros(pair.parameter_count, dtype=bool)
    columns[pair.frozen_columns] = True
    # A matrix, a bias, and the norm's scale and shift, of each modality.
    assert columns.sum() == 6 * (5 + 4) + 2 * 3 * 6
    torch.testing.assert_close(after[:, columns], before[:, columns], atol=0, rtol=0)
    assert (after[:, ~columns] != before[:, ~columns]).all()
    assert len(before[:, columns].unique(dim=0)) == len(set(members.init_seed.tolist())) > 1


def test_a_member_that_diverges_leaves_the_others() -> None:
    members, data = make_members(4), make_data(BUILT_IN.inputs, 4)
    pair = encoders("residual", BUILT_IN)
    healthy = train_pack(pair, members, data, settings())
    rates = members.learning_rate.copy()
    rates[1] = 1e200
    broken = train_pack(pair, dataclasses.replace(members, learning_rate=rates), data, settings())
    assert broken.status.tolist() == ["ok", "diverged", "ok", "ok"]
    assert broken.diverged_step[1] >= 0
    kept = [0, 2, 3]
    torch.testing.assert_close(broken.parameters[kept], healthy.parameters[kept], atol=0, rtol=0)


def test_the_gradient_ratio_is_unknown_where_the_module_goes_on_from_something_else() -> None:
    members, data = make_members(5), make_data(BUILT_IN.inputs, 5)
    pair = encoders("copying", BUILT_IN)
    at_last = train_pack(pair, members, data, settings(loss="mse"))
    assert np.isfinite(at_last.gradient_ratio).all()
    hidden = train_pack(pair, members, data, settings(loss="mse", layer=1, epochs=1))
    assert np.isnan(hidden.gradient_ratio).all()
    same = train_pack(
        encoders("mlp", BUILT_IN), members, data, settings(loss="mse", layer=1, epochs=1)
    )
    torch.testing.assert_close(hidden.parameters, same.parameters, atol=1e-12, rtol=0)


def test_a_layer_that_the_module_does_not_show_is_refused() -> None:
    members, data = make_members(2), make_data(BUILT_IN.inputs, 2)
    with pytest.raises(
        InputError, match="layer is 2; all encoders need it, and their depths are 1"
    ):
        train_pack(encoders("convolution", BUILT_IN), members, data, settings(layer=2))
