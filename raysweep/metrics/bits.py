"""Sets of rows as bits: 64 members in a word, intersections counted a word at a time."""

import numpy as np
import torch
from torch import Tensor


def packed_width(count: int) -> int:
    """Bytes of one packed row of `count` members: whole words of 64 bits."""
    return 8 * -(-count // 64)


def pack(members: Tensor) -> Tensor:
    """Bool [r, n] to bits: uint8 [r, 8 ceil(n / 64)], padded with zeros to whole words."""
    width = packed_width(members.shape[1])
    if members.device.type == "cpu":
        packed = np.zeros((len(members), width), dtype=np.uint8)
        packed[:, : -(-members.shape[1] // 8)] = np.packbits(members.numpy(), axis=1)
        return torch.from_numpy(packed)
    return pack_anywhere(members, width)


def pack_anywhere(members: Tensor, width: int) -> Tensor:
    """`pack` in torch operations, for any device."""
    padded = torch.nn.functional.pad(members, (0, 8 * width - members.shape[1]))
    worth = 2 ** torch.arange(7, -1, -1, device=members.device, dtype=torch.uint8)
    return (padded.unflatten(1, (width, 8)) * worth).sum(dim=2, dtype=torch.uint8)


def places_of_at_least(values: Tensor, lowest: Tensor) -> Tensor:
    """Where values [r, n] reach the lowest [r, 1], counted row after row: int64 [c]."""
    if values.device.type == "cpu":
        # numpy compares twice as fast as torch does, and finds few of many several times faster.
        return torch.from_numpy(np.flatnonzero(values.numpy() >= lowest.numpy()))
    return torch.nonzero((values >= lowest).flatten())[:, 0]


def count_common(a: Tensor, b: Tensor) -> Tensor:
    """Members in both sets of each row: packed [..., r, w] and [..., r, w] to int64 [..., r]."""
    if a.device.type == "cpu":
        words = a.numpy().view(np.uint64) & b.numpy().view(np.uint64)
        return torch.from_numpy(np.bitwise_count(words).sum(axis=-1, dtype=np.int64))
    return count_common_anywhere(a, b)


def count_common_anywhere(a: Tensor, b: Tensor) -> Tensor:
    """`count_common` in torch operations, for any device: a table of the bits in a byte."""
    bytes_ = torch.arange(256, device=a.device)
    powers = torch.arange(8, device=a.device)
    in_byte = ((bytes_[:, None] >> powers) & 1).sum(dim=1)
    return in_byte[(a & b).to(torch.int64)].sum(dim=-1)
