"""Which parameters of a dataset go together: said without drawing a single row."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raysweep.errors import InputError
from raysweep.plugins.options import Value


@dataclass(frozen=True)
class Rule:
    """What some parameters must agree on.

    Attributes:
        names: the parameters; a fault belongs to the first of them that a study gives.
        check: called with these parameters by name, and ``draw`` where ``drawn``; raises an
            InputError that names the combination and what would be right.
        drawn: whether the draw matters, too.
    """

    names: tuple[str, ...]
    check: Callable[..., object]
    drawn: bool = False

    def faults(
        self, axes: Mapping[str, Sequence[Value]], draws: Sequence[int]
    ) -> Iterator[tuple[dict[str, Value], str]]:
        """The combinations that do not agree, each with what is wrong; no message comes twice.

        Args:
            axes: every parameter's values; only those of ``names`` are combined.
            draws: of the dataset.
        """
        said = set()
        for values in itertools.product(*(axes[name] for name in self.names)):
            chosen = dict(zip(self.names, values, strict=True))
            for draw in draws if self.drawn else draws[:1]:
                try:
                    self.check(**chosen, **({"draw": draw} if self.drawn else {}))
                except InputError as error:
                    if str(error) not in said:
                        said.add(str(error))
                        yield chosen, str(error)
                    break
