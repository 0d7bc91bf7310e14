"""Features of vision models of timm, against the states that hooks see of one image at a time."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_layers import layers
from PIL import Image

from raysweep.errors import InputError
from raysweep.features.extract import extract_features
from raysweep.features.store import metadata_of

timm = pytest.importorskip("timm")

ROWS = 13
SMALL = {"img_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 24, "num_heads": 2}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", SMALL),
    "registers": ("vit_small_patch14_reg4_dinov2", SMALL),
    "siglip": ("vit_base_patch16_siglip_224", SMALL),
    "average": ("vit_base_patch16_224", {**SMALL, "global_pool": "avg", "class_token": False}),
    "resnet": ("resnet10t", {}),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {
            "img_size": 32,
            "window_size": 4,
            "embed_dim": 12,
            "depths": (1,) * 4,
            "num_heads": (1,) * 4,
        },
    ),
}
PREFIX = {"vit": 1, "registers": 5, "siglip": 0, "average": 0}
NORMED = {"vit", "registers", "siglip", "swin"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of model as a folder, its norms no identities."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, (architecture, arguments) in MODELS.items():
        model = timm.create_model(architecture, pretrained=False, num_classes=3, **arguments)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, 0.5, 0.3)
        size = {} if "img_size" in arguments else {"input_size": (3, 32, 32)}
        timm.models.save_for_hf(
            model, root / name, model_args=arguments, data_config=size, safe_serialization=True
        )
    return {name: root / name for name in MODELS}


def loaded(folder: Path) -> torch.nn.Module:
    model: torch.nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    return model


def pixels(model: torch.nn.Module, path: Path) -> torch.Tensor:
    """An image as the settings of a model want it, by Pillow."""
    settings = timm.data.resolve_model_data_config(model)
    side = int(np.floor(settings["input_size"][1] / settings["crop_pct"]))
    with Image.open(path) as image:
        short = min(image.size)
        size = tuple(int(side * of / short) for of in image.size)
        resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    wanted = settings["input_size"][1]
    left, top = (round((of - wanted) / 2) for of in resized.size)
    cropped = resized.crop((left, top, left + wanted, top + wanted))
    values = torch.from_numpy(np.array(cropped)).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(settings[name])[:, None, None] for name in ("mean", "std"))
    return (values - mean) / std


def states_of_blocks(model: Any, image: torch.Tensor) -> list[torch.Tensor]:
    """What hooks on the blocks see of one image: [tokens, d] each."""
    seen: list[torch.Tensor] = []
    handles = [
        block.register_forward_hook(lambda module, given, found: seen.append(found[0]))
        for block in model.blocks
    ]
    with torch.no_grad():
        model(image[None])
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", PREFIX)
def test_features_are_those_of_each_image_alone(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str
) -> None:
    model, prefix = loaded(saved[name]), PREFIX[name]
    alone = [
        states_of_blocks(model, pixels(model, table.parent / f"image_{row}.png"))
        for row in range(ROWS)
    ]
    for pooling in ("mean", "class") if prefix else ("mean",):
        (made,) = extract_features(
            [saved[name]],
            table,
            tmp_path / pooling,
            image=["picture"],
            pooling=pooling,
            batch_size=4,
        )
        assert made.failure == ""
        assert metadata_of(made.files[0])["prefix_tokens"] == str(prefix)
        found = layers(made.files[0])
        assert len(found) == SMALL["depth"]
        for place, features in enumerate(found):
            states = [row[place] for row in alone]
            right = [x[0] if pooling == "class" else x[prefix:].mean(dim=0) for x in states]
            expected = torch.stack(right).double().numpy()
            assert np.abs(features - expected).max() <= 5e-6 * np.abs(expected).max()


@pytest.mark.parametrize("name", sorted(NORMED & set(PREFIX)))
def test_the_last_layer_is_normed_where_that_is_asked_for(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str
) -> None:
    model: Any = loaded(saved[name])
    found = {}
    for wanted in ("as_is", "with", "without"):
        (made,) = extract_features(
            [saved[name]],
            table,
            tmp_path / wanted,
            image=["picture"],
            final_norm=wanted,
            pooling="mean",
        )
        assert made.failure == ""
        after = "after" if wanted == "with" else "before"
        assert metadata_of(made.files[0])["last_layer"] == f"{after} the final norm"
        found[wanted] = layers(made.files[0])
    for place in range(SMALL["depth"]):
        np.testing.assert_array_equal(found["as_is"][place], found["without"][place])
        if place < SMALL["depth"] - 1:
            np.testing.assert_array_equal(found["as_is"][place], found["with"][place])
    last = [
        states_of_blocks(model, pixels(model, table.parent / f"image_{row}.png"))[-1]
        for row in range(ROWS)
    ]
    with torch.no_grad():
        right = [model.norm(state)[PREFIX[name] :].mean(dim=0) for state in last]
    expected = torch.stack(right).double().numpy()
    assert np.abs(found["with"][-1] - expected).max() <= 5e-6 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["resnet", "swin"])
def test_maps_are_pooled_over_places_and_batches_do_not_matter(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str
) -> None:
    model: Any = loaded(saved[name])
    images = [pixels(model, table.parent / f"image_{row}.png") for row in range(ROWS)]
    with torch.no_grad():
        alone = [model.forward_intermediates(x[None], intermediates_only=True) for x in images]
    for size in (1, ROWS):
        (made,) = extract_features(
            [saved[name]], table, tmp_path / str(size), image=["picture"], batch_size=size
        )
        assert made.failure == ""
        for place, features in enumerate(layers(made.files[0])):
            right = [row[place].flatten(2).mean(dim=2)[0] for row in alone]
            expected = torch.stack(right).double().numpy()
            assert np.abs(features - expected).max() <= 5e-6 * np.abs(expected).max()


def test_what_a_model_has_not_is_told(saved: dict[str, Path], table: Path, tmp_path: Path) -> None:
    for name, option, words in (
        ("siglip", {"pooling": "class"}, "has no class token; give --pooling mean"),
        ("average", {"final_norm": "with"}, "has no norm after its last block"),
        ("resnet", {"final_norm": "without"}, "has no norm after its last block"),
    ):
        (made,) = extract_features(
            [saved[name]], table, tmp_path / name, image=["picture"], **option
        )
        assert words in made.failure
        assert not made.files[0].exists()


def test_a_missing_library_is_told(
    saved: dict[str, Path], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    (made,) = extract_features([saved["vit"]], table, tmp_path / "out", image=["picture"])
    assert "pip install 'raysweep[timm]'" in made.failure


def test_a_model_takes_images_alone(saved: dict[str, Path], table: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="image"):
        extract_features([saved["vit"]], table, tmp_path / "out", text=["caption"])


def test_weights_that_are_not_there_are_told(
    saved: dict[str, Path], table: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "lacking"
    folder.mkdir()
    (folder / "config.json").write_bytes((saved["vit"] / "config.json").read_bytes())
    (made,) = extract_features([folder], table, tmp_path / "out", image=["picture"])
    assert "timm cannot load it" in made.failure
