"""Denormal floats, the ones too small for all digits: taken for 0 while torch trains on the CPU.

Gradients of a fitted model fall into their range, where a processor takes a hundred times as long
for an operation. Everything else (data, measuring) keeps them. What a number is must not depend on
what a process did before, so either mode is set where it is needed, and put back.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_GRAIN = 32768
"""Elements from which on torch gives a share of an operation to a further thread."""


def are_flushed() -> bool:
    """Whether this thread takes denormal numbers for 0; torch sets the mode, but does not tell."""
    return sys.float_info.min * 0.5 == 0.0


@contextmanager
def denormals(flushed: bool) -> Iterator[None]:
    """Within the block, or the function that is decorated, denormals are taken for 0, or kept.

    torch hands the mode on to its threads, operation by operation. A thread also inherits that of
    the one that starts it, for good; so they are all started before.

    Args:
        flushed: whether they are taken for 0. Without effect on machines where torch cannot.
    """
    before = are_flushed()
    if before == flushed:
        yield
        return
    threads = torch.get_num_threads()
    if flushed and threads > 1:
        torch.zeros(threads * _GRAIN).add_(1)
    torch.set_flush_denormal(flushed)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
