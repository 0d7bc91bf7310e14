"""A trial that trains in two processes, and the same in one."""

import tempfile
from collections.abc import Iterable

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import raysweep

PROCESSES = 2
EPOCHS = 3


class Both(nn.Module):
    """Two linear maps and a head, with what the alignment loss learns."""

    def __init__(self, learned: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self.left, self.right = (nn.Linear(5, 4) for _ in range(2))
        self.head = nn.Linear(8, 1)
        self.learned = nn.ParameterList(learned)

    def forward(self, x1: torch.Tensor, x2: torch.Tensor) -> tuple[torch.Tensor, ...]:
        h1, h2 = self.left(x1), self.right(x2)
        return h1, h2, self.head(torch.cat([h1, h2], dim=1))[:, 0]


def data(draw: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(draw)
    x1, x2 = torch.randn(2, 60, 5, generator=generator, dtype=torch.float64)
    return x1, x2, x1[:, 0] + x2[:, 0]


def loss_of(trial: raysweep.TrialContext, net: nn.Module, part: int) -> torch.Tensor:
    """Of one process's share of the rows."""
    x1, x2, y = (of[part * 20 : (part + 1) * 20] for of in data(trial.draw))
    h1, h2, guessed = net(x1, x2)
    return nn.functional.mse_loss(guessed, y) + trial.penalty(h1, h2)


def begin(trial: raysweep.TrialContext) -> tuple[Both, torch.optim.Optimizer]:
    torch.set_default_dtype(torch.float64)  # of what the loss learns
    raysweep.seed_everything(trial)
    net = Both(trial.parameters())
    return net, torch.optim.SGD(net.parameters(), lr=0.05)


def tell(trial: raysweep.TrialContext, net: Both, epoch: int) -> None:
    x1, x2, y = (of[40:] for of in data(trial.draw))
    with torch.no_grad():
        h1, h2, guessed = net(x1, x2)
    trial.measure("test", h1, h2)
    fit = -nn.functional.mse_loss(guessed, y)
    [scale] = net.learned
    trial.log(epoch, fit_validation=fit, fit_test=fit, scale=scale)


def train(rank: int, trial: raysweep.TrialContext, meet: str) -> None:
    """What each process does; the first of them tells."""
    distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=PROCESSES)
    net, optimizer = begin(trial)
    together = DistributedDataParallel(net)
    for epoch in range(1, EPOCHS + 1):
        optimizer.zero_grad()
        loss_of(trial, together, rank).backward()
        optimizer.step()
        if rank == 0:
            tell(trial, net, epoch)
            trial.save({"epoch": epoch})
    distributed.destroy_process_group()


def in_two(trial: raysweep.TrialContext) -> None:
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(train, (trial, f"file://{folder}/meet"), nprocs=PROCESSES)
    trial.load()


def in_one(trial: raysweep.TrialContext) -> None:
    net, optimizer = begin(trial)
    for epoch in range(1, EPOCHS + 1):
        optimizer.zero_grad()
        sum(loss_of(trial, net, rank) / PROCESSES for rank in range(PROCESSES)).backward()
        optimizer.step()
        tell(trial, net, epoch)
