"""Trials -> packs: models of one shape that train as one stacked computation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from raysweep.seeds import content_key
from raysweep.trials import Options, Trial


@dataclass(frozen=True)
class Pack:
    """Trials of one cell that train together and write one part file.

    Attributes:
        trials: in a fixed order; all of one cell, hence of one shape, and of one configuration of
            the alignment loss.
    """

    trials: tuple[Trial, ...]

    @cached_property
    def key(self) -> str:
        """The pack's name, made from the keys of its trials."""
        return content_key([trial.key for trial in self.trials])

    @property
    def options(self) -> Options:
        """The searched options of the loss; trials of strength 0 have none and go with any."""
        return next((trial.options for trial in self.trials if trial.options), ())

    def without(self, done: Collection[str]) -> "Pack | None":
        """The pack of the trials whose keys are not in ``done``, or None if nothing is left."""
        left = tuple(trial for trial in self.trials if trial.key not in done)
        return Pack(left) if left else None


def pack_trials(groups: Sequence[Sequence[Trial]], members_per_pack: int) -> list[Pack]:
    """Split trials into packs by a rule that depends on nothing but its arguments.

    Trials with other options of the loss never share a pack: a pack has one loss.

    Args:
        groups: trials that stay together where they fit (the paired arms of one seed).
        members_per_pack: at most so many trials in a pack, >= 1; a longer group is split.

    Returns:
        Packs in the order of the groups. The same groups give the same packs, hence the same bits,
        however often a run was interrupted; groups that are added at the end leave all packs but
        the last of their options as they were.
    """
    packs: dict[Options, list[list[Trial]]] = {}
    for group in groups:
        for options, trials in _by_options(group).items():
            own = packs.setdefault(options, [])
            for start in range(0, len(trials), members_per_pack):
                chunk = trials[start : start + members_per_pack]
                if own and len(own[-1]) + len(chunk) <= members_per_pack:
                    own[-1].extend(chunk)
                else:
                    own.append(chunk)
    return [Pack(tuple(pack)) for own in packs.values() for pack in own]


def _by_options(group: Sequence[Trial]) -> dict[Options, list[Trial]]:
    """A group's trials by their options; those without any go with the first that have some."""
    first = next((trial.options for trial in group if trial.options), ())
    found: dict[Options, list[Trial]] = {}
    for trial in group:
        found.setdefault(trial.options or first, []).append(trial)
    return found
