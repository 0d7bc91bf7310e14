"""What a run that goes on has found so far, cell by cell: numbers, and no verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from raysweep.errors import InputError
from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.kind import kind_of
from raysweep.study.spec import StudyBase
from raysweep.trials.effect_so_far import EffectSoFar
from raysweep.trials.table import Row, read_parts
from raysweep.trials.trial import Stage


class SoFar:
    """The effects so far of all cells of a run, kept up to date as packs come in.

    Args:
        study: the study.
        before: gives the rows that were there before; asked once, when something is first shown.
    """

    def __init__(self, study: StudyBase, before: Callable[[], Iterable[Row]] = tuple) -> None:
        self._study, self._before = study, before
        self._begun = False
        self._rows: dict[str, dict[str, Row]] = {}
        self._found: dict[str, tuple[EffectSoFar, ...]] = {}

    def take_in(self, rows: Sequence[Row]) -> None:
        """Add the rows of a pack."""
        for row in rows:
            if row["stage"] == Stage.CONFIRM:
                cell = str(row["cell"])
                self._rows.setdefault(cell, {})[str(row["key"])] = row
                self._found.pop(cell, None)

    def of(self, cell: str) -> tuple[EffectSoFar, ...]:
        """The effects in a cell, one for each criterion that has a pair of runs."""
        if not self._begun:
            self._begun = True
            self.take_in(list(self._before()))
        rows = self._rows.get(cell)
        if not rows:
            return ()
        if cell not in self._found:
            try:
                found = kind_of(self._study).effects_so_far(self._study, list(rows.values()))
            except InputError:  # the analysis will say why these rows cannot be read
                found = []
            self._found[cell] = tuple(found)
        return self._found[cell]

    def by_criterion(self, cell: str) -> Mapping[str, EffectSoFar]:
        """Criterion -> the effect in a cell."""
        return {found.chosen_by: found for found in self.of(cell)}


def of_folder(folder: RunFolder, study: StudyBase) -> SoFar:
    """The effects so far of what a run's folder holds."""
    return SoFar(study, lambda: _confirmed(folder))


def _confirmed(folder: RunFolder) -> list[Row]:
    table = read_parts(folder.output).table
    if not table.num_rows:
        return []
    stages = table.column("stage").to_pylist()
    confirm = [row for row, stage in enumerate(stages) if stage == Stage.CONFIRM]
    return table.take(confirm).to_pylist() if confirm else []
