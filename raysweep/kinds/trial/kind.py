"""What a study of trials of the user's own does at each step."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.kinds.forcing.kind import Searching
from raysweep.kinds.kind import StudySize
from raysweep.kinds.trial.study import TrialStudy

if TYPE_CHECKING:
    from raysweep.kinds.forcing.plan import ForcingSweep
    from raysweep.kinds.sweep import Earlier
    from raysweep.study.yaml_lines import Fault
    from raysweep.tracking.facts import StudyFacts
    from raysweep.tracking.views import View
    from raysweep.trials.packing import Pack
    from raysweep.trials.storage import Output
    from raysweep.trials.table import Row
    from raysweep.trials.trial import TrialResult


class OwnTrials(Searching[TrialStudy]):
    """A function or a command of the user's trains; all around it is as in a forcing study."""

    study = TrialStudy
    logs_epochs = True
    short_of_memory = "lower what your code trains"

    def check(
        self, raw: Mapping[str, Any], widths: Sequence[tuple[int, int]], folder: Path
    ) -> "list[Fault]":
        """The code, the axes and the metrics; the loss and the search as in a forcing study."""
        from raysweep.kinds.trial.check import check_trial

        return [*super().check(raw, widths, folder), *check_trial(raw, folder)]

    def resolved(self, study: TrialStudy, folder: Path) -> dict[str, Any]:
        """The loss and the search, and where the code lies, with digests of what it imports."""
        from raysweep.kinds.trial.code import code_files, placed

        code = placed(study.trial, folder)
        files = code_files(code, study.own_code, study.code_folders or ())
        return {**super().resolved(study, folder), "trial": code.model_dump(), "files": files}

    def try_out(self, study: TrialStudy) -> list[str]:
        """See `Kind.try_out`."""
        from raysweep.kinds.trial.tried import try_out

        return try_out(study)

    def sweep(
        self, study: TrialStudy, results: "dict[str, TrialResult]", earlier: "Earlier"
    ) -> "ForcingSweep":
        """See `Kind.sweep`."""
        from raysweep.kinds.trial.sweep import TrialSweep

        return TrialSweep(study, results, earlier)

    def size(self, study: TrialStudy, measure_time: bool = True) -> StudySize:
        """Counts alone: what a trial costs, only its code knows."""
        from raysweep.study.cells import expand

        trials = self.trials(study)
        needs = tuple(str(found) for found in study.resources.over(study.grid))
        return StudySize(len(expand(study)), trials, trials, 0, None, needs=needs)

    def prepare(self) -> None:
        """See `Kind.prepare`."""
        import raysweep.kinds.trial.run  # noqa: F401

    def executor(self, output: "Output") -> "Callable[[TrialStudy, Pack, str], list[Row]]":
        """Trials keep what they have come to in the run's folder."""
        from raysweep.kinds.trial.run import run_pack

        return partial(run_pack, output=output)

    def run_pack(self, study: TrialStudy, pack: "Pack", device: str) -> "list[Row]":
        """A trial outside a run: in a folder that is gone with it."""
        import tempfile

        from raysweep.kinds.trial.run import run_pack
        from raysweep.trials.storage import Output

        with tempfile.TemporaryDirectory(prefix="raysweep-trial-") as folder:
            return run_pack(study, pack, device, Output(folder))

    def pack_bytes(self, study: TrialStudy, pack: "Pack", device: str) -> int:
        """Nothing that is known before."""
        return 0

    def remarks(self, sweep: "ForcingSweep") -> list[str]:
        """What was best at an end of its range, and what halving has saved."""
        from raysweep.kinds.forcing.remarks import remarks
        from raysweep.kinds.trial.sweep import saved

        return [*remarks(sweep), *saved(sweep)]

    def views(self, study: TrialStudy, facts: "StudyFacts") -> "list[View]":
        """Those of a forcing study, with the curves of the metrics that are searched."""
        from raysweep.kinds.forcing.views import views
        from raysweep.trials.columns import named

        curves = [named("curve", seen) for seen in (study.searched_performance, "alignment")]
        return views(study, facts.varying, facts.axes, curves)


KIND = OwnTrials()
