"""How far a run is, for Python and notebooks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.display import as_html, as_text, status_table
from raysweep.kinds.outlook import time_left
from raysweep.kinds.so_far import SoFar
from raysweep.kinds.sweep import Sweep
from raysweep.runners.watch import outlook_of
from raysweep.study.spec import StudyBase
from raysweep.text import counted
from raysweep.trials.effect_so_far import EffectSoFar

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import ConsoleRenderable


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        done, planned: trials that are there, and that there will be at most.
        finished: whether nothing is left to run; what failed is tried again by `Run.resume`.
        driver: who runs it now; empty where nobody does.
        failures: key of each pack that was given up -> why.
        seconds_left: until a run that goes on has ended, s; None where that is not known. Of a
            sequential study at most so many.
    """

    done: int
    planned: int
    finished: bool
    driver: str
    failures: Mapping[str, str]
    seconds_left: float | None
    _sweep: Sweep
    _so_far: SoFar

    @property
    def cells(self) -> "pd.DataFrame":
        """A row per cell: its id, label and state."""
        import pandas as pd

        sweep = self._sweep
        return pd.DataFrame(
            [(c.id, sweep.labels[c.id], sweep.state(c).value) for c in sweep.cells],
            columns=["cell", "label", "state"],
        )

    @property
    def effects_so_far(self) -> "pd.DataFrame":
        """What forcing has done so far, a row per cell and criterion; no verdict.

        Columns `cell chosen_by strength n effect low high outcome`: forced minus none with its
        interval, in the outcome's unit, from ``n`` seeds or draws.
        """
        import pandas as pd

        found = [
            {"cell": cell.id, **asdict(effect)}
            for cell in self._sweep.cells
            for effect in self._so_far.of(cell.id)
        ]
        columns = ["cell", *(field.name for field in fields(EffectSoFar))]
        return pd.DataFrame(found, columns=columns)

    def __str__(self) -> str:
        return f"{as_text(self._table())}\n{self._summary()}"

    def __repr__(self) -> str:
        return f"Status({self._summary()})"

    def _table(self) -> "ConsoleRenderable":
        # Of a run that is done the verdicts say more.
        return status_table(self._sweep, None if self.finished else self._so_far)

    def _summary(self) -> str:
        parts = [f"{self.done} of {counted(self.planned, 'trial')} are there"]
        if self.failures:
            parts.append(f"{counted(len(self.failures), 'pack')} failed")
        if self.driver:
            parts.append(f"a run goes on ({self.driver})")
        if self.seconds_left is not None:
            parts.append(time_left(self._sweep, self.seconds_left))
        return "; ".join(parts)

    def _repr_html_(self) -> str:
        return as_html(self._table(), self._summary())


def status_of(folder: RunFolder, study: StudyBase) -> Status:
    """How far a folder's run is."""
    sweep, driver, outlook = folder.left(study), folder.driver(), outlook_of(folder, study)
    return Status(
        sum(key in sweep.results for key in sweep.order()),
        sweep.trials_planned(),
        sweep.finished,
        "" if driver is None else driver.name,
        sweep.failures,
        outlook.seconds_left(sweep),
        sweep,
        outlook.so_far,
    )
