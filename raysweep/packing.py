"""Trials -> packs: models of one shape that train as one stacked computation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from raysweep.seeds import content_key
from raysweep.trials import Trial


@dataclass(frozen=True)
class Pack:
    """Trials of one cell that train together and write one part file.

    Attributes:
        trials: in a fixed order; all of one cell, hence of one shape.
    """

    trials: tuple[Trial, ...]

    @cached_property
    def key(self) -> str:
        """The pack's name, made from the keys of its trials."""
        return content_key([trial.key for trial in self.trials])

    def without(self, done: Collection[str]) -> "Pack | None":
        """The pack of the trials whose keys are not in ``done``, or None if nothing is left."""
        left = tuple(trial for trial in self.trials if trial.key not in done)
        return Pack(left) if left else None


def pack_trials(groups: Sequence[Sequence[Trial]], members_per_pack: int) -> list[Pack]:
    """Split trials into packs by a rule that depends on nothing but its arguments.

    Args:
        groups: trials that stay together where they fit (the paired arms of one seed).
        members_per_pack: at most so many trials in a pack, >= 1; a longer group is split.

    Returns:
        Packs in the order of the groups. The same groups give the same packs, hence the same bits,
        however often a run was interrupted; groups that are added at the end leave all packs but
        the last as they were.
    """
    packs: list[list[Trial]] = []
    for group in groups:
        for start in range(0, len(group), members_per_pack):
            chunk = list(group[start : start + members_per_pack])
            if packs and len(packs[-1]) + len(chunk) <= members_per_pack:
                packs[-1].extend(chunk)
            else:
                packs.append(chunk)
    return [Pack(tuple(pack)) for pack in packs]
