"""Class weights in the cross-entropy, against torch's and scikit-learn's."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from tiny_training import SHAPE, TOLERANCE, make_data, make_members, pick, train
from tiny_two_cells import tiny

from raysweep.errors import InputError
from raysweep.training.inputs import PackData
from raysweep.training.task_loss import balanced, cross_entropy, row_shares


def test_balanced_weights_are_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    y = draw.choice(4, size=(3, 60), p=[0.7, 0.2, 0.05, 0.05])
    found = balanced(torch.as_tensor(y), 4)
    for of, weights in zip(y, found, strict=True):
        expected = compute_class_weight("balanced", classes=np.unique(of), y=of)
        np.testing.assert_allclose(weights[np.unique(of)], expected)


def test_loss_and_gradient_are_torchs() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, 13, generator=draw, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(5, (4, 1, 13), generator=draw)
    weights = torch.rand(4, 5, generator=draw, dtype=torch.float64) + 0.1
    expected = torch.stack(
        [
            torch.stack(
                [
                    torch.nn.functional.cross_entropy(logits[h, m].T, labels[m, 0], weights[m])
                    for m in range(4)
                ]
            )
            for h in range(3)
        ]
    )
    found, slopes = cross_entropy(logits, labels, row_shares(labels, weights, None))
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-13)
    (at_logits,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(slopes, at_logits, rtol=0, atol=1e-13)


def uneven(m: int) -> PackData:
    data = make_data(m)
    y = np.where(data.y_train == 2, np.arange(75) % 2, data.y_train)
    y[:, :4] = 2
    return dataclasses.replace(data, y_train=y)


def test_members_do_not_depend_on_their_pack_and_weights_matter() -> None:
    members = make_members(7)
    together = train(members, data=uneven(7), epochs=5, class_weight="balanced")
    some = [6, 2]
    apart = train(
        pick(members, some),
        data=dataclasses.replace(uneven(7), dataset=uneven(7).dataset[some]),
        epochs=5,
        class_weight="balanced",
    )
    torch.testing.assert_close(
        apart.parameters, together.parameters[some], rtol=TOLERANCE, atol=TOLERANCE
    )
    plain = train(members, data=uneven(7), epochs=5)
    assert not torch.allclose(plain.parameters, together.parameters)


def test_equal_classes_are_as_without_weights() -> None:
    data = make_data(3)
    even = dataclasses.replace(data, y_train=np.tile(np.arange(75) % 3, (3, 1)))
    # All rows in one batch, so that its classes are even, too.
    given = {"data": even, "epochs": 5, "batch_size": 75}
    plain, weighted = (train(make_members(3), SHAPE, **given, class_weight=w) for w in CHOICES)
    torch.testing.assert_close(
        plain.parameters, weighted.parameters, rtol=TOLERANCE, atol=TOLERANCE
    )


CHOICES = ("none", "balanced")


def test_the_kernel_counts_rows_alike() -> None:
    with pytest.raises(InputError, match="class_weight is 'balanced'; the kernel counts rows"):
        train(make_members(2), class_weight="balanced", engine="kernel")
    with pytest.raises(InputError, match=r"training\.class_weight is balanced; take auto"):
        tiny("training.class_weight=balanced", "training.engine=kernel")


def test_results_from_before_there_were_weights_keep_their_keys() -> None:
    assert "class_weight" not in tiny().science()["training"]
    weighted = tiny("training.class_weight=balanced")
    assert weighted.science()["training"]["class_weight"] == "balanced"
