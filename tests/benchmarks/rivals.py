"""Other ways to train the same encoders: what a user would write, from the usual to the careful.

Every rival trains `models` single encoders with linear heads on modality 1 (cross-entropy, AdamW,
gradient clipping) and is an object whose `run(steps)` takes that many steps of `BATCH` rows,
shuffling and gathering included.
"""

import itertools

import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

BATCH = 512
RATE, DECAY, CLIP = 1e-3, 1e-2, 8.0


def encoder(inputs, width, depth, classes):
    """Leaky-ReLU layers and a linear head."""
    sizes = [inputs] + [width] * depth
    layers = []
    for below, above in itertools.pairwise(sizes):
        layers += [nn.Linear(below, above), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Linear(width, classes))


class _Items(Dataset):
    """One sample at a time, as most training code has it."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


class Conventional:
    """One model, a DataLoader over a map-style Dataset, AdamW."""

    models = 1

    def __init__(self, x, y, width, depth, classes, models):
        self.net = encoder(x.shape[1], width, depth, classes)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=RATE, weight_decay=DECAY)
        self.loader = DataLoader(_Items(x, y), batch_size=BATCH, shuffle=True)

    def run(self, steps):
        """Take this many steps."""
        done = 0
        while done < steps:
            for x, y in self.loader:
                if done == steps:
                    break
                self.optimizer.zero_grad()
                functional.cross_entropy(self.net(x), y).backward()
                nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
                self.optimizer.step()
                done += 1


def _batches(n, steps, batch=BATCH):
    """Index batches of whole epochs, in a new order each."""
    done = 0
    while done < steps:
        order = torch.randperm(n)
        for rows in order.split(batch):
            if done == steps:
                return
            yield rows
            done += 1


class Careful:
    """One model, tensors resident, fused AdamW."""

    models = 1

    def __init__(self, x, y, width, depth, classes, models, batch=BATCH):
        self.x, self.y, self.batch = x, y, batch
        self.net = encoder(x.shape[1], width, depth, classes)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=RATE, weight_decay=DECAY, fused=True
        )

    def run(self, steps):
        """Take this many steps."""
        for rows in _batches(len(self.y), steps, self.batch):
            self.optimizer.zero_grad()
            functional.cross_entropy(self.net(self.x[rows]), self.y[rows]).backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
            self.optimizer.step()


def _member_batches(models, n, steps):
    """The same for every model by itself: [models, rows]."""
    for batches in zip(*(_batches(n, steps) for _ in range(models)), strict=True):
        yield torch.stack(batches)


def _clip(gradients):
    """Clip each model's gradients to its own norm; all are [models, ...]."""
    squares = sum(g.square().flatten(1).sum(1) for g in gradients)
    factor = (CLIP / (squares.sqrt() + 1e-6)).clamp(max=1)
    for g in gradients:
        g *= factor.view(-1, *[1] * (g.ndim - 1))


class Vmapped:
    """Modules stacked by torch.func, gradients by vmap(grad)."""

    def __init__(self, x, y, width, depth, classes, models):
        self.x, self.y, self.models = x, y, models
        nets = [encoder(x.shape[1], width, depth, classes) for _ in range(models)]
        self.parameters, _ = stack_module_state(nets)
        self.parameters = {k: v.detach() for k, v in self.parameters.items()}
        base = nets[0].to("meta")
        self.gradients = vmap(
            grad(lambda p, x, y: functional.cross_entropy(functional_call(base, p, (x,)), y))
        )
        for value in self.parameters.values():
            value.grad = torch.zeros_like(value)
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=RATE, weight_decay=DECAY, fused=True
        )

    def run(self, steps):
        """Take this many steps."""
        for rows in _member_batches(self.models, len(self.y), steps):
            gradients = self.gradients(self.parameters, self.x[rows], self.y[rows])
            _clip(list(gradients.values()))
            for name, value in self.parameters.items():
                value.grad = gradients[name]
            self.optimizer.step()


class Stacked:
    """Stacked weights, baddbmm and autograd."""

    def __init__(self, x, y, width, depth, classes, models):
        self.x, self.y, self.models = x, y, models
        sizes = [x.shape[1]] + [width] * depth + [classes]
        self.layers = []
        for below, above in itertools.pairwise(sizes):
            bound = below**-0.5
            weight = torch.empty(models, below, above).uniform_(-bound, bound)
            bias = torch.empty(models, 1, above).uniform_(-bound, bound)
            self.layers.append((weight.requires_grad_(), bias.requires_grad_()))
        self.flat = [tensor for layer in self.layers for tensor in layer]
        self.optimizer = torch.optim.AdamW(self.flat, lr=RATE, weight_decay=DECAY, fused=True)

    def run(self, steps):
        """Take this many steps."""
        for rows in _member_batches(self.models, len(self.y), steps):
            h, y = self.x[rows], self.y[rows]
            for weight, bias in self.layers[:-1]:
                h = functional.leaky_relu(torch.baddbmm(bias, h, weight), 0.1)
            weight, bias = self.layers[-1]
            logits = torch.baddbmm(bias, h, weight)
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum")
            (loss / rows.shape[1]).backward()
            _clip([tensor.grad for tensor in self.flat])
            self.optimizer.step()
