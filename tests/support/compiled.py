"""Compiles the kernel with all its losses, in two processes where it would be in twenty."""

from raysweep.training.engine import KERNEL_LOSSES
from raysweep.training.kernel_cache import make_ready
from raysweep.training.kernel_losses import routines_of


def compile_all() -> None:
    for dtype in ("float32", "float64"):
        make_ready(dtype, *routines_of(*KERNEL_LOSSES))


if __name__ == "__main__":
    compile_all()
