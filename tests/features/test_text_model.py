"""Features of texts: against the models themselves, one text at a time, without any padding."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_layers import layers
from tiny_models import CAUSAL, ENCODERS, save_text_model, texts

from raysweep.errors import InputError
from raysweep.features.extract import extract_features
from raysweep.features.store import metadata_of

transformers = pytest.importorskip("transformers")

ROWS = 13
ALL = (*CAUSAL, *ENCODERS)
FINAL_NORMS = {
    "llama": "model.norm",
    "gpt2": "transformer.ln_f",
    "bloom": "transformer.ln_f",
    "opt": "model.decoder.final_layer_norm",
    "gpt_neox": "gpt_neox.final_layer_norm",
    "mpt": "transformer.norm_f",
    "falcon": "transformer.ln_f",
    "modernbert": "final_norm",
    "clip_text": "final_layer_norm",
}
BEFORE = ("clip_text",)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of model, as a folder."""
    root = tmp_path_factory.mktemp("models")
    return {name: save_text_model(root / name, name) for name in ALL}


def one_by_one(folder: Path) -> list[list[torch.Tensor]]:
    """The states [tokens, d] of each layer, of each text alone."""
    automatic = (
        transformers.AutoModelForCausalLM if folder.name in CAUSAL else transformers.AutoModel
    )
    model = automatic.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = []
    with torch.no_grad():
        for text in texts(ROWS):
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            states = model(input_ids=ids, output_hidden_states=True).hidden_states
            found.append([state[0] for state in states])
    return found


def close(features: np.ndarray, expected: list[torch.Tensor]) -> None:
    right = torch.stack(expected).double().numpy()
    assert np.abs(features - right).max() <= 2e-6 * np.abs(right).max()


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("name", ALL)
def test_features_are_those_of_each_text_alone(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str, pooling: str
) -> None:
    (made,) = extract_features(
        [saved[name]], table, tmp_path, text=["caption"], pooling=pooling, batch_size=5
    )
    assert made.failure == ""
    alone = one_by_one(saved[name])
    found = layers(made.files[0])
    assert len(found) == 3
    for place, features in enumerate(found):
        of_layer = [row[place] for row in alone]
        close(
            features,
            [state.mean(dim=0) if pooling == "mean" else state[-1] for state in of_layer],
        )


@pytest.mark.parametrize("name", ALL)
def test_neither_batches_nor_the_side_of_padding_matter(
    table: Path, tmp_path: Path, name: str
) -> None:
    found = []
    for side, size in (("right", 1), ("left", 4), ("right", 13)):
        folder = save_text_model(tmp_path / f"{side}{size}" / name, name, side=side)
        out = tmp_path / f"out-{side}{size}"
        (made,) = extract_features([folder], table, out, text=["caption"], batch_size=size)
        assert made.failure == ""
        found.append(layers(made.files[0]))
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            assert np.abs(one - other).max() <= 1e-6 * np.abs(one).max()


@pytest.mark.parametrize("name", FINAL_NORMS)
def test_the_last_layer_is_with_or_without_the_final_norm(
    saved: dict[str, Path], table: Path, tmp_path: Path, name: str
) -> None:
    files = {}
    for wanted in ("as_is", "with", "without"):
        (made,) = extract_features(
            [saved[name]],
            table,
            tmp_path / wanted,
            text=["caption"],
            pooling="last",
            final_norm=wanted,
        )
        assert made.failure == ""
        files[wanted] = made.files[0]
    last = {wanted: layers(path)[-1] for wanted, path in files.items()}
    automatic = transformers.AutoModelForCausalLM if name in CAUSAL else transformers.AutoModel
    model = automatic.from_pretrained(saved[name]).eval()
    with torch.no_grad():
        normed = model.get_submodule(FINAL_NORMS[name])(torch.from_numpy(last["without"]))
        if name == "opt":
            normed = model.model.decoder.project_out(normed)
    np.testing.assert_allclose(normed.numpy(), last["with"], rtol=1e-5, atol=1e-6)
    same = "without" if name in BEFORE else "with"
    np.testing.assert_array_equal(last["as_is"], last[same])
    found = metadata_of(files["as_is"])
    assert found["final_norm_module"] == FINAL_NORMS[name]
    assert found["last_layer"].startswith("before" if name in BEFORE else "after")


def test_a_model_without_a_final_norm_says_so(
    saved: dict[str, Path], table: Path, tmp_path: Path
) -> None:
    (made,) = extract_features([saved["bert"]], table, tmp_path, text=["caption"])
    assert metadata_of(made.files[0])["last_layer"] == "no final norm"
    out = tmp_path / "with"
    (failed,) = extract_features([saved["bert"]], table, out, text=["caption"], final_norm="with")
    assert "has no norm after its last block" in failed.failure
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("bos", [False, True])
def test_bits_per_byte_are_those_of_the_models_own_loss(
    table: Path, tmp_path: Path, bos: bool
) -> None:
    folder = save_text_model(tmp_path / "llama", "llama", bos=bos)
    (made,) = extract_features([folder], table, tmp_path / "out", text=["caption"], batch_size=4)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rates, of_all, bits_of_all, bytes_of_all = [], [], 0.0, 0
    for text in texts(ROWS):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        labels = ids.clone()
        labels[:, : 1 + bos] = -100  # the first token of the text, and what is before it
        rest = text.partition(" ")[2]
        if not rest:
            continue
        with torch.no_grad():
            loss = float(model(input_ids=ids, labels=labels).loss)
        bits = loss * len(rest.split()) / math.log(2)
        rates.append(bits / len(f" {rest}".encode()))
        of_all.append(bits / len(text.encode()))
        bits_of_all += bits
        bytes_of_all += len(f" {rest}".encode())
    found = metadata_of(made.files[0])
    assert float(found["bits_per_byte"]) == pytest.approx(np.mean(rates), rel=1e-5)
    assert float(found["bits_per_byte_all_bytes"]) == pytest.approx(np.mean(of_all), rel=1e-5)
    whole = bits_of_all / bytes_of_all
    assert float(found["bits_per_byte_of_all_texts"]) == pytest.approx(whole, rel=1e-5)
    assert found["bits_per_byte_texts"] == str(len(rates))


def test_the_class_token_is_the_first_and_only_where_there_is_one(
    saved: dict[str, Path], table: Path, tmp_path: Path
) -> None:
    options = {"text": ["caption"], "pooling": "class"}
    bert, llama = extract_features([saved["bert"], saved["llama"]], table, tmp_path, **options)
    assert "has no class token" in llama.failure
    for place, features in enumerate(layers(bert.files[0])):
        close(features, [row[place][0] for row in one_by_one(saved["bert"])])


def test_longer_texts_are_cut_and_counted(
    saved: dict[str, Path], table: Path, tmp_path: Path
) -> None:
    options = {"text": ["caption"], "max_tokens": 4}
    (made,) = extract_features([saved["gpt2"]], table, tmp_path, **options)
    assert metadata_of(made.files[0])["texts_cut"] == str(
        sum(len(text.split()) > 4 for text in texts(ROWS))
    )
    (failed,) = extract_features(
        [saved["roberta"]], table, tmp_path, text=["caption"], max_tokens=33
    )
    assert "--max-tokens 33" in failed.failure
    assert "takes 32 at most" in failed.failure


def test_folders_of_sentence_transformers_keep_their_limit(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sentences"
    inside = save_text_model(folder / "0_Transformer", "bert")
    modules = folder / "modules.json"
    modules.write_text(json.dumps([{"idx": 0, "name": "0", "path": "0_Transformer"}]))
    (inside / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    (made,) = extract_features([folder], table, tmp_path / "out", text=["caption"])
    assert made.failure == ""
    found = metadata_of(made.files[0])
    assert found["longest_text"] == "6"
    assert found["texts_cut"] == str(sum(len(text.split()) > 4 for text in texts(ROWS)))
    modules.write_text(json.dumps([{"path": "../elsewhere"}]))
    with pytest.raises(InputError, match=r"leads out of its folder, to \.\./elsewhere"):
        extract_features([folder], table, tmp_path / "out", text=["caption"])


def test_missing_weights_are_not_drawn_at_random(
    saved: dict[str, Path], table: Path, tmp_path: Path
) -> None:
    model = transformers.BertModel.from_pretrained(saved["bert"])
    folder = tmp_path / "half"
    saved_state = {k: v for k, v in model.state_dict().items() if "layer.1.output" not in k}
    model.save_pretrained(folder, state_dict=saved_state)
    transformers.AutoTokenizer.from_pretrained(saved["bert"]).save_pretrained(folder)
    (made,) = extract_features([folder], table, tmp_path / "out", text=["caption"])
    assert "would be random, such as" in made.failure


def test_half_precision_is_refused_on_a_cpu(
    saved: dict[str, Path], table: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--dtype bfloat16: is for a GPU"):
        extract_features(
            [saved["bert"]], table, tmp_path, text=["caption"], dtype="bfloat16", device="cpu"
        )
