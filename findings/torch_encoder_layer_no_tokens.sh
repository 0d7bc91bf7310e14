#!/usr/bin/env bash
# PyTorch 2.13.0, nn.TransformerEncoderLayer: a sample whose tokens are all masked.
#
# The same layer with the same input is finite in training and in evaluation with gradients, and NaN
# in evaluation under no_grad, which takes another (fused) path. There the rows of that sample are
# NaN and the others are right.
#
# Why it matters: a modality that is missing for some samples is often given as a sequence without
# any real token. Training shows nothing; validation, which runs under no_grad, turns NaN, and with
# it every mean over the batch. The dropout is 0 here: it is no difference of noise.
# What to do: give such samples one token that is not masked, or replace their output by a rule of
# one's own in both modes.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv v && v/bin/pip install -q torch==2.13.0 numpy==2.4.6
v/bin/python - <<'P'
import torch

torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
x = torch.randn(2, 3, 8)
masked = torch.tensor([[False, False, True], [True, True, True]])
with torch.no_grad():
    fused = layer.eval()(x, src_key_padding_mask=masked)
seen = {
    "training": layer.train()(x, src_key_padding_mask=masked),
    "evaluation": layer.eval()(x, src_key_padding_mask=masked),
    "evaluation, no_grad": fused,
}
nan = {name: [bool(row.isnan().any()) for row in out] for name, out in seen.items()}
print("NaN in (a sample with tokens, a sample without):", nan)
assert nan == {
    "training": [False, False], "evaluation": [False, False], "evaluation, no_grad": [False, True],
}
P
