"""Encoders trained without a partner: equal to the tower of a pair, and to torch itself."""

import dataclasses

import numpy as np
import pytest
import torch
from reference_training import Tower, linears_of, train_tower
from tiny_training import make_data, make_members

from raysweep.errors import InputError
from raysweep.models.shape import MultimodalShape
from raysweep.models.trained import TrainedPack
from raysweep.training.inputs import Members, PackData, TrainSettings
from raysweep.training.train import train_pack

PAIR = MultimodalShape((5, 4), 3, depths=(3, 2), widths=(6, 7))
ALONE = (MultimodalShape((5,), 3, (3,), (6,)), MultimodalShape((4,), 3, (2,), (7,), first=2))
ENGINES = pytest.mark.parametrize("engine", ["torch", "kernel"])


def side(data: PackData, modality: int) -> PackData:
    """One modality of a pair's data."""
    own = slice(modality - 1, modality)
    return dataclasses.replace(data, x_train=data.x_train[own], x_validation=data.x_validation[own])


def settings(engine: str, **changes: object) -> TrainSettings:
    given = {"epochs": 6, "batch_size": 16, "dtype": "float64", "engine": engine}
    return TrainSettings(**{**given, **changes})


def trained(
    modality: int, engine: str, members: Members, **changes: object
) -> tuple[TrainedPack, PackData]:
    data = make_data(len(members), PAIR)
    shape = ALONE[modality - 1]
    return train_pack(shape, members, side(data, modality), settings(engine, **changes)), data


@ENGINES
@pytest.mark.parametrize("modality", [1, 2])
def test_equals_the_tower_of_a_pair_at_strength_0(engine: str, modality: int) -> None:
    members = make_members(7, strength=0.0)
    alone, data = trained(modality, engine, members, checkpoint="last")
    pair = train_pack(PAIR, members, data, settings(engine, checkpoint="last"))
    span = PAIR.towers[modality - 1].span
    torch.testing.assert_close(alone.parameters, pair.parameters[:, span], atol=1e-10, rtol=0)
    head = str(modality)
    np.testing.assert_array_equal(alone.history.performance[head], pair.history.performance[head])
    assert list(alone.history.performance) == [head]
    np.testing.assert_array_equal(alone.unforced_steps, alone.steps)
    assert np.isnan(alone.history.fused_loss).all()
    assert not alone.gradient_ratio.any()


@ENGINES
def test_the_own_heads_validation_accuracy_chooses_the_checkpoint(engine: str) -> None:
    members = make_members(9, strength=0.0)
    alone, data = trained(2, engine, members, epochs=12)
    accuracies = alone.history.performance["2"]
    np.testing.assert_array_equal(alone.best_epoch, accuracies.argmax(axis=1))
    assert len(set(alone.best_epoch)) > 1
    _, logits = alone.forward(1, data.x_validation[1])
    hits = logits.argmax(dim=1).numpy() == data.y_validation[data.dataset]
    np.testing.assert_allclose(hits.mean(axis=1), accuracies.max(axis=1), atol=1e-12)


@ENGINES
def test_equals_modules_trained_by_autograd_one_by_one(engine: str) -> None:
    members = make_members(3, strength=0.0)
    alone, data = trained(1, engine, members, checkpoint="last", epochs=2)
    initial = ALONE[0].initial_parameters(members.init_seed)
    for index in range(3):
        tower = train_tower(
            Tower(5, 3, 6, 3),
            initial[index],
            torch.as_tensor(data.x_train[0][data.dataset[index]]),
            torch.as_tensor(data.y_train[data.dataset[index]]),
            learning_rate=float(members.learning_rate[index]),
            weight_decay=float(members.weight_decay[index]),
            clip_norm=float(members.clip_norm[index]),
            epochs=2,
            batch_size=16,
            order_seed=int(members.order_seed[index]),
        )
        blocks = [torch.cat((m.weight, m.bias[:, None]), 1).flatten() for m in linears_of(tower)]
        expected = torch.cat(blocks).detach()
        torch.testing.assert_close(alone.parameters[index], expected, atol=1e-9, rtol=0)


@ENGINES
def test_a_member_that_diverges_leaves_the_others(engine: str) -> None:
    members = make_members(4, strength=0.0)
    healthy, _ = trained(1, engine, members)
    data = make_data(4, PAIR)
    broken = side(data, 1)
    x = broken.x_train[0].copy()
    x[1, 3, 0] = np.nan
    members = make_members(4, strength=0.0)
    found = train_pack(
        ALONE[0],
        members,
        dataclasses.replace(broken, x_train=(x,)),
        settings(engine),
    )
    assert found.status.tolist() == ["ok", "diverged", "ok", "ok"]
    assert found.diverged_step[1] >= 0
    kept = [0, 2, 3]
    torch.testing.assert_close(found.parameters[kept], healthy.parameters[kept], atol=0, rtol=0)


def test_a_strength_is_refused() -> None:
    data = side(make_data(2, PAIR), 1)
    with pytest.raises(InputError, match="strength 0"):
        train_pack(ALONE[0], make_members(2, strength=1.0), data, settings("torch"))
    with pytest.raises(InputError, match="first is 0; it must be at least 1"):
        MultimodalShape((5,), 3, (1,), (6,), first=0)
