"""A user's own encoders packed: against their modules one by one; what cannot be packed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from checked import faults, load
from tiny_two_cells import TINY, StudyFactory
from torch.nn.utils import vector_to_parameters

from raysweep.models.custom import custom_encoder
from raysweep.study.reader import StudyFileError

SEEDS = [3, 11, 3, 4]


def stream(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "name", ["mlp", "residual", "convolution", "attention", "tied", "frozen_norm"]
)
def test_a_pack_gives_what_its_modules_give(name: str) -> None:
    encoder = custom_encoder(f"own_encoders:{name}", inputs=7, depth=2, width=6, options={})
    rows = [encoder.initial_parameters(stream(seed)) for seed in SEEDS]
    assert all(row.shape == (encoder.parameter_count,) for row in rows)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(len(SEEDS), 9, 7, generator=generator, dtype=torch.float64)
    parameters = torch.from_numpy(np.stack(rows)).requires_grad_()
    layers = encoder.forward(parameters, x)
    assert len(layers) == encoder.layers
    weights = [torch.randn(h.shape, generator=generator, dtype=torch.float64) for h in layers]
    sum((w * h).sum() for w, h in zip(weights, layers, strict=True)).backward()
    for member, row in enumerate(rows):
        module = encoder.built(0).double()
        vector_to_parameters(torch.from_numpy(row), module.parameters())
        module.double()
        hidden = module(x[member])
        hidden = hidden if isinstance(hidden, list) else [hidden]
        for own, layer in zip(hidden, layers, strict=True):
            torch.testing.assert_close(layer[member].mT, own, atol=1e-12, rtol=0)
        total = sum((w[member].mT * h).sum() for w, h in zip(weights, hidden, strict=True))
        own = torch.autograd.grad(total, list(module.parameters()))
        flat = torch.cat([gradient.flatten() for gradient in own])
        torch.testing.assert_close(parameters.grad[member], flat, atol=1e-11, rtol=0)


def test_initial_weights_are_the_factorys_own_from_the_members_seed() -> None:
    encoder = custom_encoder("own_encoders:residual", 5, 2, 6, {})
    torch.manual_seed(99)
    before = torch.get_rng_state()
    rows = [encoder.initial_parameters(stream(seed)) for seed in SEEDS]
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(rows[0], rows[2])
    assert np.abs(rows[0] - rows[1]).max() > 0.01
    # torch's own: uniform on +-1/sqrt(inputs); LayerNorm starts from 1 and 0.
    embed = rows[0][: 5 * 6]
    assert 0.3 < np.abs(embed).max() <= 5**-0.5
    assert rows[0][36:48].tolist() == [1.0] * 6 + [0.0] * 6


def test_layers_are_those_that_the_module_shows() -> None:
    def layers(name: str, depth: int) -> int:
        return custom_encoder(f"own_encoders:{name}", 5, depth, 6, {}).layers

    assert (layers("residual", 3), layers("convolution", 3)) == (3, 1)


def test_activations_are_what_the_graph_holds_of_a_row() -> None:
    # Of the plainest one by hand: what every layer and every leaky ReLU gives, and the inputs.
    encoder = custom_encoder("own_encoders:mlp", 5, 3, 8, {})
    assert 3 * 2 * 8 <= encoder.activations <= 3 * 2 * 8 + 6
    wide = custom_encoder("own_encoders:convolution", 12, 2, 8, {"channels": 30})
    slim = custom_encoder("own_encoders:convolution", 12, 2, 8, {"channels": 3})
    assert wide.activations > 5 * slim.activations > 5 * 2 * 3 * 12


FAULTS = [
    (
        "own_encoder:mlp",
        "cannot import own_encoder (ModuleNotFoundError: No module named 'own_encoder')",
    ),
    ("own_encoders:mlps", "own_encoders has nothing of that name"),
    ("own_encoders:NOT_A_FUNCTION", "own_encoders has int; it must be a function NOT_A_FUNCTION"),
    ("own_encoders:", "not a dotted path; write package.module:function"),
    ("own_encoders:swapped", "its signature is swapped(width: int, number: int)"),
    ("own_encoders:a_function", "returned function; it must return a torch.nn.Module"),
    ("own_encoders:raising", "inputs=12, depth=1, width=8: ValueError: width 8 is odd to me"),
    ("own_encoders:raising_later", "inputs=12, depth=1, width=8: RuntimeError: mat1 and mat2"),
    ("own_encoders:empty", "the module has no parameters"),
    ("own_encoders:lazy", "parameter weight has no shape before the first call"),
    ("own_encoders:frozen", "the module has only frozen parameters; there is nothing to train"),
    ("own_encoders:half_frozen", "two seeds freeze other parameters"),
    ("own_encoders:detached_stem", "does not depend on the parameters in a way that torch can"),
    ("own_encoders:counting", "parameter count is torch.int64"),
    ("own_encoders:unseeded", "two modules of one seed have different initial weights"),
    ("own_encoders:same_for_all", "the initial weights are the same whatever the seed"),
    ("own_encoders:random_buffer", "a buffer differs between two seeds"),
    ("own_encoders:dropout", "draws random numbers when it is called, as dropout does"),
    ("own_encoders:batch_norm", "changes its buffers when it is called (1.running_mean, 1.running"),
    ("own_encoders:batch_statistics", "for a row depends on the other rows of the batch"),
    ("own_encoders:too_wide", "returned shape [5, 9] for rows [5, 12] at depth 1 and width 8; it"),
    ("own_encoders:too_many", "a list of shape [5, 8], shape [5, 8] for rows [5, 12] at depth 1"),
    ("own_encoders:a_mapping", "the module returned dict for rows [5, 12]"),
    ("own_encoders:detached", "does not depend on the parameters in a way that torch can"),
    ("own_encoders:branching", "runs alone, but not packed by torch.func.vmap (RuntimeError: "),
    (
        "mpl",
        "unknown encoder 'mpl' (did you mean mlp?); choose from mlp, linear, cnn, ",
    ),
]


@pytest.mark.parametrize(("encoder", "fault"), FAULTS)
def test_what_cannot_be_packed_is_a_fault(study_of: StudyFactory, encoder: str, fault: str) -> None:
    [found] = faults(study_of, f"model.encoder='{encoder}'")
    assert found.startswith("model.encoder: ")
    assert fault in found


@pytest.mark.parametrize("name", ["frozen_norm", "frozen_by_train", "frozen_stem"])
def test_frozen_parts_can_be_packed(study_of: StudyFactory, name: str) -> None:
    own = f"model.encoder=own_encoders:{name}"
    wanted = study_of(own, "training.dtype=float64", "model.depth=2")
    assert wanted.model.encoder == (own[14:],)


def test_a_layer_of_frozen_parameters_alone_cannot_be_aligned(study_of: StudyFactory) -> None:
    own = ("model.encoder=own_encoders:frozen_stem", "model.depth=2", "alignment.loss=mse")
    assert study_of(*own, "alignment.layer=2").alignment.layer == 2
    [fault] = faults(study_of, *own, "alignment.layer=1")
    assert fault.startswith("alignment.layer: hidden layer 1 of encoder own_encoders:frozen_stem")
    assert "has frozen parameters alone" in fault


def test_the_place_of_a_fault_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(TINY.replace("{depth: 1,", "{depth: 1, encoder: 'own_encoders:dropout',"))
    with pytest.raises(StudyFileError) as caught:
        load(path)
    [fault] = caught.value.faults
    assert fault.startswith("line 9: model.encoder: encoder own_encoders:dropout: the module draws")


def test_options_go_to_the_users_own_encoder(study_of: StudyFactory) -> None:
    own = "model.encoder=own_encoders:convolution"
    assert study_of(own, "model.options.channels=5").model.options == {"channels": 5}
    [fault] = faults(study_of, own, "model.options.chanels=5")
    assert "cannot be called as convolution(inputs=..., depth=..., width=..., **options)" in fault
    [fault] = faults(study_of, own, "model.options.width=5")
    assert "width is no option; the model grid gives it" in fault
    [fault] = faults(study_of, "model.options.channels=5")
    assert fault == "model.options.channels: unknown option of mlp 'channels'; it takes none"


def test_every_scale_of_the_grid_is_tried(study_of: StudyFactory) -> None:
    own = "model.encoder=own_encoders:picky"
    assert study_of(own, "model.width=[4, 8]", "model.depth=[1, 2]").model.encoder == (own[14:],)
    [fault] = faults(study_of, "model.width=[4, 8]", "model.depth=[1, 3]", own)
    assert "inputs=12, depth=3, width=8: ValueError: too many for me" in fault
    # Of the second modality.
    [fault] = faults(study_of, "data={dataset: digits, overlap: 3}", own)
    assert "inputs=40, depth=1, width=8: ValueError: too many for me" in fault


def test_what_does_not_go_with_a_users_own_encoder(study_of: StudyFactory) -> None:
    own = "model.encoder=own_encoders:convolution"
    [fault] = faults(study_of, own, "training.engine=kernel")
    assert fault.startswith("training.engine: engine kernel trains mlp encoders only")
    two = ("model.depth=2", "alignment.layer=2")
    [fault] = faults(study_of, own, *two)
    assert fault.startswith(
        "alignment.layer: there is no hidden layer 2: the module of encoder own"
    )
    assert study_of("model.encoder=own_encoders:residual", *two).alignment.layer == 2
