"""Each head is read at the epoch that was best for itself."""

import numpy as np
import pytest
import torch
from tiny_evaluation import SHAPE as SMALL
from tiny_evaluation import views_of
from tiny_training import EPOCHS, SHAPE, make_members, train

from raysweep.models.trained import TrainedPack
from raysweep.training.evaluate import performance


@pytest.mark.parametrize("engine", ["torch", "kernel"])
def test_a_tower_is_kept_at_its_own_heads_best_epoch(engine: str) -> None:
    members = make_members(6, learning_rate=0.3, strength=1.0, clip_norm=0.5)
    found = train(members, engine=engine)
    short = [train(members, engine=engine, epochs=e + 1, checkpoint="last") for e in range(EPOCHS)]
    epochs = set()
    for head, epoch, tower in zip(
        SHAPE.heads, [*found.own_best_epoch, found.best_epoch], SHAPE.spans(0), strict=True
    ):
        np.testing.assert_array_equal(epoch, found.history.performance[head].argmax(axis=1))
        kept = found.parameters if head == "fused" else found.own_parameters
        columns = slice(None) if head == "fused" else tower
        for member, last in enumerate(epoch):
            torch.testing.assert_close(
                kept[member, columns], short[last].parameters[member, columns], atol=1e-10, rtol=0
            )
        epochs.add(tuple(epoch))
    assert len(epochs) > 1  # heads that are best at one epoch would test nothing


def test_the_last_epoch_is_the_same_for_all_heads() -> None:
    found = train(make_members(4), checkpoint="last")
    assert found.own_parameters is found.parameters
    assert (found.own_best_epoch == EPOCHS - 1).all()


def test_heads_are_measured_where_they_are_best() -> None:
    members = make_members(6, learning_rate=0.3, strength=1.0, clip_norm=0.5)
    found = train(members, shape=SMALL)
    view = views_of(0)
    data_of = np.zeros(len(members), dtype=np.int64)

    def measured(parameters: torch.Tensor) -> dict[str, np.ndarray]:
        given = vars(found) | {"dataset": data_of}
        at = TrainedPack(**(given | {"parameters": parameters, "own_parameters": parameters}))
        return performance(at, [view], "test").loss

    own = torch.where(found.own_parameters.isnan(), found.parameters, found.own_parameters)
    got = performance(TrainedPack(**(vars(found) | {"dataset": data_of})), [view], "test").loss
    for head in ("1", "2"):
        np.testing.assert_allclose(got[head], measured(own)[head], rtol=1e-12)
    np.testing.assert_allclose(got["fused"], measured(found.parameters)["fused"], rtol=1e-12)
