"""Trials of a user's own whose truth is known, for studies of ``kind: trial``."""

import contextlib
import json
import logging
import math
import os
import queue
import random
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

import raysweep


def truth(genre: str, strength: float) -> float:
    """What forcing does to f1 by itself: nothing at 0, most at 1, less where it is stronger."""
    most = {"helps": 0.1, "hurts": -0.1, "nothing": 0.0}[genre]
    return most * strength * math.exp(1 - strength)


def known(trial: raysweep.TrialContext) -> dict[str, float]:
    """f1 of 0.7, the luck of the seed, which the arms of a pair share, and the truth if forced."""
    shared = random.gauss(0, 0.05)
    own = np.random.default_rng([trial.seed, len(trial.arm)]).normal(0, 0.01)
    forced = truth(str(trial.cell["genre"]), trial.strength) if trial.arm == "forced" else 0.0
    for epoch in (1, 2):
        trial.log(epoch, f1=0.35 * epoch + shared)
    f1 = 0.7 + shared + own + forced
    return {"f1_validation": f1, "f1_test": f1 + 0.001 * shared}


def lossy(trial: raysweep.TrialContext) -> dict[str, float]:
    """As `known`, told as a loss: 1 - f1."""
    return {f"loss_{n}": 1 - v for n, v in known(trial).items()}


def pair(trial: raysweep.TrialContext, epochs: int = 6) -> dict[str, float]:
    """Two linear maps of noise that share three of their eight features, forced to agree."""
    generator = torch.Generator().manual_seed(trial.draw)
    shared = torch.randn(192, 3, generator=generator, dtype=torch.float64)
    views = [
        torch.cat([shared, torch.randn(192, 5, generator=generator, dtype=torch.float64)], dim=1)
        for _ in range(2)
    ]
    y = (shared[:, 0] > 0).double()
    maps = [torch.nn.Linear(8, 6, dtype=torch.float64) for _ in views]
    head = torch.nn.Linear(12, 1, dtype=torch.float64)
    learned = [*maps[0].parameters(), *maps[1].parameters(), *head.parameters()]
    optimizer = torch.optim.Adam([*learned, *trial.parameters(6, 6)], lr=0.02)
    splits = {"train": slice(0, 96), "validation": slice(96, 144), "test": slice(144, 192)}

    def represented(split: str) -> list[torch.Tensor]:
        return [net(x[splits[split]]) for net, x in zip(maps, views, strict=True)]

    state = trial.load()
    if state is not None:
        for net, kept in zip([*maps, head], state["nets"], strict=True):
            net.load_state_dict(kept)
        optimizer.load_state_dict(state["optimizer"])
    first = 0 if state is None else state["epoch"]
    accuracy = math.nan
    for epoch in range(first + 1, epochs + 1):
        for rows in torch.randperm(96).split(32):
            h1, h2 = (h[rows] for h in represented("train"))
            logits = head(torch.cat([h1, h2], dim=1))[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y[:96][rows])
            optimizer.zero_grad()
            (loss + trial.penalty(h1, h2)).backward()
            optimizer.step()
        with torch.no_grad():
            logits = head(torch.cat(represented("validation"), dim=1))[:, 0]
            accuracy = ((logits > 0) == y[96:144].bool()).double().mean().item()
            trial.measure("validation", *represented("validation"))
        nets = [net.state_dict() for net in (*maps, head)]
        trial.save({"epoch": epoch, "nets": nets, "optimizer": optimizer.state_dict()})
        if not trial.log(epoch, loss=loss, accuracy_validation=accuracy):
            break
        _die(trial, epoch)
    with torch.no_grad():
        trial.measure("test", *represented("test"))
        logits = head(torch.cat(represented("test"), dim=1))[:, 0]
        found = -torch.nn.functional.binary_cross_entropy_with_logits(logits, y[144:192])
    return {"accuracy_validation": accuracy, "likelihood_test": found.item()}


def _die(trial: raysweep.TrialContext, epoch: int) -> None:
    """Once, and in the middle, where a test has asked for it: as by the kernel."""
    switch = Path(os.environ.get("OWN_TRIALS_SWITCH", "/nowhere")) / "die"
    if epoch == 3 and trial.arm == "forced" and switch.exists():
        switch.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def faulty(trial: raysweep.TrialContext) -> object:
    """Goes wrong as its axis says, in arm forced of the search."""
    metrics: dict[str, object] = {"f1_validation": 0.5, "f1_test": 0.5}
    if trial.arm != "forced":
        return metrics
    match trial.cell["fault"]:
        case "raises":
            raise ValueError("no such film")
        case "nan":
            return {**metrics, "f1_validation": math.nan}
        case "missing":
            return {"f1_validation": 0.5}
        case "text":
            return {**metrics, "f1_test": "good"}
        case "name":
            return {**metrics, "f1": 0.5}
        case "nothing":
            return None
        case "exits":
            raise SystemExit(3)
        case "hangs":
            _broken_thread()
            time.sleep(600)
        case "waits":
            _broken_thread()
            return {**metrics, "f1_test": queue.Queue[float]().get(timeout=0.01)}
        case "memory":
            raise MemoryError("cannot allocate 8 TB")
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
    return metrics


def _broken_thread() -> None:
    def read() -> None:
        raise KeyError("reel 5")

    thread = threading.Thread(target=read, name="reader")
    thread.start()
    thread.join()


def at(genre: str, strength: float, seed: int, epoch: int) -> float:
    """f1 of `racing` after an epoch: strong forcing starts well and ends as `truth` has it."""
    luck = np.random.default_rng([seed, 7]).normal(0, 0.02)
    early = 0.05 * math.log(1 + strength) * math.exp(-epoch / 2)
    return 0.5 + luck + 0.02 * epoch + truth(genre, strength) * (1 - math.exp(-epoch)) + early


def racing(trial: raysweep.TrialContext) -> None:
    """Nine epochs whose f1 is known; what it logs last is what it gives."""
    state = trial.load() or {"epoch": 0}
    for epoch in range(state["epoch"] + 1, 10):
        with open(trial.folder / "trained.txt", "a") as log:
            log.write(f"{epoch}\n")
        forced = trial.strength if trial.arm == "forced" else 0.0
        f1 = at(str(trial.cell["genre"]), forced, trial.seed, epoch)
        trial.save({"epoch": epoch})
        if not trial.log(epoch, f1_validation=f1, f1_test=f1):
            return


def placed(trial: raysweep.TrialContext) -> dict[str, float]:
    """Writes down when it ran and on which GPUs.

    Where ``company.json`` beside the output says how many trials of which width must run at a time,
    each waits until they do, once.
    """
    began = time.time()
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    place = trial.folder.parents[3]
    if (place / "company.json").exists():
        _wait_for_company(place, str(trial.cell.get("width", "")), gpus)
    seen = {
        "began": began,
        "ended": time.time(),
        "gpus": gpus,
        "cell": dict(trial.cell),
        "threads": torch.get_num_threads(),
    }
    (trial.folder / "seen.json").write_text(json.dumps(seen))
    return {"f1_validation": 0.5, "f1_test": 0.5 + trial.seed / 1e6}


def _wait_for_company(place: Path, width: str, gpus: str) -> None:
    wanted = Counter(json.loads((place / "company.json").read_text()))
    here = place / "here"
    here.mkdir(exist_ok=True)
    own, met = here / str(os.getpid()), place / "met.json"
    own.with_suffix(".tmp").write_text(json.dumps([width, gpus]))
    own.with_suffix(".tmp").rename(own)
    end = time.monotonic() + 120
    while not met.exists() and time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError):  # of one that has met the others, and ended
            there = [json.loads(path.read_text()) for path in here.iterdir() if not path.suffix]
            if Counter(width for width, _ in there) >= wanted:
                own.with_suffix(".tmp").write_text(json.dumps(there))
                own.with_suffix(".tmp").rename(met)
        time.sleep(0.05)
    time.sleep(0.2)  # others that may be placed beside it have begun meanwhile
    own.unlink()


def talking(trial: raysweep.TrialContext) -> dict[str, float]:
    """Prints, warns by a log that outlives it, and in arm forced raises."""
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger("talking").handlers.append(handler)
    sys.stdout.write(f"seed {trial.seed}\n")
    logging.getLogger("talking").warning("arm %s", trial.arm)
    if trial.arm == "forced":
        raise ValueError("no more words")
    return {"f1_validation": 0.5, "f1_test": 0.5 + trial.seed / 1e6}


def cyclic(trial: raysweep.TrialContext) -> dict[str, float]:
    """Leaves a megabyte on its device in what holds itself, as trainers and their models do."""
    holder: dict[str, object] = {"weights": torch.zeros(2**18, device=trial.device)}
    holder["self"] = holder
    return {"f1_validation": 0.5, "f1_test": 0.5 + trial.seed / 1e6}


def slow(trial: raysweep.TrialContext) -> dict[str, float]:
    """An epoch every tenth of a second, for three seconds in arm forced."""
    for epoch in range(1, 31 if trial.arm == "forced" else 2):
        time.sleep(0.1)
        trial.log(epoch, loss=1 / epoch, f1=0.5)
    return {"f1_validation": 0.5, "f1_test": 0.5 + trial.seed / 1e6}


def stepwise(trial: raysweep.TrialContext) -> dict[str, float]:
    """Twelve epochs of noise that adds up; slow where a test has asked for it beside the output."""
    state = trial.load() or {"epoch": 0, "sum": torch.zeros(3, dtype=torch.float64)}
    total = state["sum"]
    for epoch in range(state["epoch"] + 1, 13):
        with open(trial.folder / "epochs.jsonl", "a") as log:
            log.write(json.dumps({"epoch": epoch, "process": os.getpid()}) + "\n")
        total = total + torch.randn(3, dtype=torch.float64)
        trial.log(epoch, norm=total.norm())
        trial.save({"epoch": epoch, "sum": total})
        if (trial.folder.parents[3] / "slow").exists():
            time.sleep(0.3)
    found = total.norm().item() + trial.strength
    return {"f1_validation": found, "f1_test": found}
