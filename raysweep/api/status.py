"""How far a run is, for Python and notebooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.display import as_html, as_text, status_table
from raysweep.kinds.sweep import Sweep
from raysweep.study.spec import StudyBase
from raysweep.text import counted

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Status:
    """How far a run is.

    Attributes:
        done, planned: trials that are there, and that there will be at most.
        finished: whether nothing is left to run; what failed is tried again by `Run.resume`.
        driver: who runs it now; empty where nobody does.
        failures: key of each pack that was given up -> why.
    """

    done: int
    planned: int
    finished: bool
    driver: str
    failures: Mapping[str, str]
    _sweep: Sweep

    @property
    def cells(self) -> "pd.DataFrame":
        """A row per cell: its id, label and state."""
        import pandas as pd

        sweep = self._sweep
        return pd.DataFrame(
            [(c.id, sweep.labels[c.id], sweep.state(c).value) for c in sweep.cells],
            columns=["cell", "label", "state"],
        )

    def __str__(self) -> str:
        return f"{as_text(status_table(self._sweep))}\n{self._summary()}"

    def __repr__(self) -> str:
        return f"Status({self._summary()})"

    def _summary(self) -> str:
        parts = [f"{self.done} of {counted(self.planned, 'trial')} are there"]
        if self.failures:
            parts.append(f"{counted(len(self.failures), 'pack')} failed")
        if self.driver:
            parts.append(f"a run goes on ({self.driver})")
        return "; ".join(parts)

    def _repr_html_(self) -> str:
        return as_html(status_table(self._sweep), self._summary())


def status_of(folder: RunFolder, study: StudyBase) -> Status:
    """How far a folder's run is."""
    sweep, driver = folder.left(study), folder.driver()
    return Status(
        sum(key in sweep.results for key in sweep.order()),
        sweep.trials_planned(),
        sweep.finished,
        "" if driver is None else driver.name,
        sweep.failures,
        sweep,
    )
