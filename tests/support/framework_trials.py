"""Trials that transformers' Trainer and Lightning train, on tiny random models."""

from typing import Any

import numpy as np
import torch
from torch import nn

import raysweep


def views(draw: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(draw)
    signal = torch.randn(192, 1, generator=generator)
    x1, x2 = (signal + torch.randn(192, 6, generator=generator) for _ in range(2))
    return x1, x2, (signal[:, 0] > 0).long()


TRAIN, VALIDATION, TEST = slice(0, 96), slice(96, 144), slice(144, 192)


class Both(nn.Module):
    """Two maps, and a head on both; its outputs are those that Trainer understands."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(8, 2)

    def forward(
        self, x1: torch.Tensor, x2: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        h1, h2 = self.left(x1), self.right(x2)
        logits = self.head(torch.cat([h1, h2], dim=1))
        outputs = {"logits": logits, "h1": h1, "h2": h2}
        if labels is None:
            return outputs
        return {"loss": nn.functional.cross_entropy(logits, labels), **outputs}


def finished(trial: raysweep.TrialContext, model: Both) -> dict[str, float]:
    x1, x2, y = views(trial.draw)
    found = {}
    model.eval()
    with torch.no_grad():
        for name, rows in (("validation", VALIDATION), ("test", TEST)):
            outputs = model(x1[rows], x2[rows])
            trial.measure(name, outputs["h1"], outputs["h2"])
            right = (outputs["logits"].argmax(dim=1) == y[rows]).double().mean()
            found[f"accuracy_{name}"] = right.item()
            u, v = (nn.functional.normalize(outputs[h], dim=1) for h in ("h1", "h2"))
            own = torch.arange(len(u))
            found[f"loss_pairs_{name}"] = nn.functional.cross_entropy(u @ v.T / 0.1, own).item()
    return found


def by_transformers(trial: raysweep.TrialContext) -> dict[str, float]:
    from transformers import Trainer, TrainingArguments

    from raysweep.kinds.trial import huggingface

    x1, x2, y = views(trial.draw)
    samples = [{"x1": a, "x2": b, "labels": int(c)} for a, b, c in zip(x1, x2, y, strict=True)]
    arguments = TrainingArguments(
        output_dir=str(trial.folder),
        num_train_epochs=3,
        per_device_train_batch_size=32,
        learning_rate=0.05,
        eval_strategy="epoch",
        save_strategy="epoch",
        seed=trial.seed,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    model = Both()
    trainer = huggingface.forced(Trainer, trial, lambda out: (out["h1"], out["h2"]))(
        model=model,
        args=arguments,
        train_dataset=samples[TRAIN],
        eval_dataset=samples[VALIDATION],
        compute_metrics=lambda p: {
            "accuracy": float((np.asarray(p.predictions[0]).argmax(1) == p.label_ids).mean())
        },
    )
    trainer.train(resume_from_checkpoint=huggingface.checkpoint(trial))
    return finished(trial, model)


class ByItems(Both):
    """Its loss is by all items of a batch that comes in parts, as language models have it."""

    def forward(self, x1: Any, x2: Any, labels: Any = None, **asked: Any) -> dict[str, Any]:
        outputs = super().forward(x1, x2, labels)
        asked.setdefault("num_items_in_batch", len(labels))
        return {**outputs, "loss": outputs["loss"] * len(labels) / asked["num_items_in_batch"]}


def one_step(trial: raysweep.TrialContext, model: Both, parts: int) -> torch.Tensor:
    """What a step of SGD on 32 samples, in so many parts, makes of the model."""
    from transformers import Trainer, TrainingArguments

    from raysweep.kinds.trial import huggingface

    data = views(trial.draw)
    samples = [
        {"x1": a, "x2": b, "labels": int(c)}
        for a, b, c in zip(*(torch.cat([part[:16]] * 2) for part in data), strict=True)
    ]
    arguments = TrainingArguments(
        output_dir=str(trial.folder),
        max_steps=1,
        per_device_train_batch_size=32 // parts,
        gradient_accumulation_steps=parts,
        learning_rate=0.1,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        optim="sgd",
        save_strategy="no",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = huggingface.forced(Trainer, trial, lambda out: (out["h1"], out["h2"]))(
        model=model, args=arguments, train_dataset=samples
    )
    trainer._get_train_sampler = lambda *_: None
    trainer.train()
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def by_lightning(trial: raysweep.TrialContext) -> dict[str, float]:
    import lightning.pytorch as lightning
    from torch.utils.data import DataLoader, TensorDataset

    from raysweep.kinds.trial.lightning import TrialCallback

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.both = Both()
            self.learned = nn.ParameterList(trial.parameters())

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            outputs = self.both(*batch)
            loss: torch.Tensor = outputs["loss"]
            return loss + trial.penalty(outputs["h1"], outputs["h2"])

        def validation_step(self, batch: Any, _: int) -> None:
            outputs = self.both(*batch)
            right = (outputs["logits"].argmax(dim=1) == batch[2]).float().mean()
            self.log("val_accuracy", right)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.05)

    data = views(trial.draw)
    train, validation = (
        TensorDataset(*(part[rows] for part in data)) for rows in (TRAIN, VALIDATION)
    )
    follow = TrialCallback(trial)
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=3,
        callbacks=[follow],
        default_root_dir=trial.folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        module,
        DataLoader(train, 32, shuffle=True),
        DataLoader(validation, 48),
        ckpt_path=follow.checkpoint(),
    )
    return finished(trial, module.both)
