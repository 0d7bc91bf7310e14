"""Cells -> cohorts, trials -> packs: models of one shape that train as one stacked computation."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from raysweep.seeds import content_key
from raysweep.study.cells import Cell
from raysweep.trials.trial import Options, Trial


@dataclass(frozen=True)
class Pack:
    """Trials that train together and write one part file.

    Attributes:
        trials: in a fixed order; all of one cohort of cells (`cohorts`), hence of one shape, and of
            one configuration of the alignment loss.
    """

    trials: tuple[Trial, ...]

    @cached_property
    def key(self) -> str:
        """The pack's name, made from the keys of its trials."""
        return content_key([trial.key for trial in self.trials])

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of its trials, each once."""
        return tuple({trial.cell.id: trial.cell for trial in self.trials}.values())

    @property
    def options(self) -> Options:
        """The searched options of the loss; trials of strength 0 have none and go with any."""
        return next((trial.options for trial in self.trials if trial.options), ())

    def without(self, done: Collection[str]) -> "Pack | None":
        """The pack of the trials whose keys are not in ``done``, or None if nothing is left."""
        left = tuple(trial for trial in self.trials if trial.key not in done)
        return Pack(left) if left else None


# What a cell says of the sizes of its data, and so of its models.
_SIZES = ("train", "validation", "test", "modalities", "classes")


def cohorts(cells: Iterable[Cell], most: int) -> list[tuple[Cell, ...]]:
    """Cells whose trials share packs: equal in scale, in the order given, so many at a time.

    Equal in dataset, encoders, and what is said of sizes. Data of a user's own may still differ in
    their true sizes, which only who loads them sees.

    Args:
        cells: of one study.
        most: cells in a cohort, >= 1.

    Returns:
        Cohorts, every cell in one of them.
    """
    alike: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        scale = (cell.encoder, cell.depth_1, cell.depth_2, cell.width_1, cell.width_2)
        sizes = tuple(item for item in cell.parameters if item[0] in _SIZES)
        alike.setdefault((cell.dataset, scale, sizes), []).append(cell)
    return [
        tuple(own[start : start + most])
        for own in alike.values()
        for start in range(0, len(own), most)
    ]


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


def packs_left(packs: Iterable[Pack], done: Collection[str]) -> tuple[Pack, ...]:
    """The packs without the trials whose keys are in ``done``; those with nothing left are out."""
    left = (pack.without(done) for pack in packs)
    return tuple(pack for pack in left if pack is not None)


def _by_options(group: Sequence[Trial]) -> dict[Options, list[Trial]]:
    """A group's trials by their options; those without any go with the first that have some."""
    first = next((trial.options for trial in group if trial.options), ())
    found: dict[Options, list[Trial]] = {}
    for trial in group:
        found.setdefault(trial.options or first, []).append(trial)
    return found
