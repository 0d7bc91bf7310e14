"""What every reader of a file offers."""

from collections.abc import Sequence
from typing import Protocol

from raysweep.data.dtypes import Array, Role


class Source(Protocol):
    """The named arrays or columns of a file, read when they are asked for.

    No code of a file is ever run: pickles are refused.
    """

    @property
    def noun(self) -> str:
        """``array`` or ``column``, for messages."""

    @property
    def names(self) -> tuple[str, ...]:
        """All there are, in the order of the file."""

    def dimensions(self, name: str) -> int | None:
        """How many axes an array has, without reading it; None where that cannot be told."""

    def read(self, names: Sequence[str], role: Role, faults: list[str]) -> dict[str, Array]:
        """Those of the arrays that can be read, by name; what is wrong with the others is noted.

        Args:
            names: among ``names``.
            role: what they are for.
            faults: where to note them, each with its name.
        """
