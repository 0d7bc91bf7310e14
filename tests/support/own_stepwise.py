"""A trial of twelve epochs that a test may hold, or kill, after its sixth was saved."""

import json
import os
import signal
import time
from pathlib import Path

import torch

import raysweep

HELD = 6


def stepwise(trial: raysweep.TrialContext) -> dict[str, float]:
    """Noise that adds up.

    Where it trained which epoch is in ``epochs.jsonl`` of its folder, or of the one that
    OWN_TRIALS_SWITCH names. A file ``hold`` beside the output holds it, ``die`` in that folder
    kills it, once.
    """
    place = Path(os.environ.get("OWN_TRIALS_SWITCH", trial.folder))
    state = trial.load() or {"epoch": 0, "sum": torch.zeros(3, dtype=torch.float64)}
    total = state["sum"]
    for epoch in range(state["epoch"] + 1, 13):
        who = {"trial": repr(trial), "epoch": epoch, "process": os.getpid()}
        with open(place / "epochs.jsonl", "a") as log:
            log.write(json.dumps(who) + "\n")
        total = total + torch.randn(3, dtype=torch.float64)
        trial.log(epoch, norm=total.norm())
        trial.save({"epoch": epoch, "sum": total})
        if epoch == HELD:
            (place / "saved").touch()
            if (place / "die").exists():
                (place / "die").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            while _held(trial):
                time.sleep(0.05)
    found = total.norm().item() + trial.strength
    return {"f1_validation": found, "f1_test": found}


def _held(trial: raysweep.TrialContext) -> bool:
    parents = trial.folder.parents
    return len(parents) > 3 and (parents[3] / "hold").exists()
