"""The same loop through Ray Tune; the only file that imports ray.

One Tuner with one searcher over all cells; a Ray Tune trial runs one pack. The worker writes the
pack's part file itself, before it reports, so that nothing finished depends on the driver.
"""

import contextlib
import logging
import os
import shutil
import tempfile
import time
import traceback
from typing import Any

from raysweep.errors import InputError
from raysweep.packing import Pack
from raysweep.progress import Observer, Silent
from raysweep.run_folder import RunFolder
from raysweep.spec import Study
from raysweep.storage import Output
from raysweep.sweep import Sweep
from raysweep.table import PART_SUFFIX, PARTS, read_parts, write_part

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_WARN_THRESHOLD_S": "30",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
for _name, _value in _SETTINGS.items():
    # Read by Ray when it is imported, hence before the import; a user's own setting wins.
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

COMPACT_EVERY_S = 30.0
LOST_WORKER_RETRIES = 3


class _PackTrainable(tune.Trainable):
    """Runs one pack per trial; the actor is reused for the next one."""

    def setup(self, config: dict[str, Any], study: Study, location: str) -> None:
        import torch

        torch.set_num_threads(1)
        self._study = study
        self._location = location

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        from raysweep.execute import run_pack

        pack: Pack = self.config["pack"]
        folder = RunFolder(Output(self._location))
        try:
            rows = run_pack(self._study, pack)
        except OSError:
            raise
        except Exception:
            # Everything is seeded: the same pack would raise again, so it is not tried again.
            reason = traceback.format_exc()
            folder.record_failure(pack, reason)
            return {"done": True, "failed": reason}
        write_part(folder.output, pack.key, rows)
        folder.clear_failure(pack)
        return {"done": True, "failed": ""}


class _SweepSearcher(Searcher):
    """Hands the packs of a sweep to Tune and takes their results in."""

    def __init__(self, sweep: Sweep, folder: RunFolder, observer: Observer) -> None:
        super().__init__(metric="failed", mode="min")
        self._sweep, self._folder, self._observer = sweep, folder, observer
        self._packs: dict[str, Pack] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        pack = self._sweep.next_pack()
        if pack is None:
            return Searcher.FINISHED if self._sweep.finished else None
        self._packs[trial_id] = pack
        return {"pack": pack}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        pack = self._packs.pop(trial_id)
        # The part file decides, not the report: a worker may be lost after it has written.
        parts = read_parts(self._folder.output, [f"{PARTS}/{pack.key}{PART_SUFFIX}"])
        if parts.table.num_rows:
            self._sweep.complete(pack, parts.results().values())
            self._observer.pack_finished(self._sweep, pack, parts.table.to_pylist())
            return
        reason = (result or {}).get("failed") or (
            f"the worker was lost {LOST_WORKER_RETRIES + 1} times, or could not write its result"
        )
        if not (result or {}).get("failed"):
            self._folder.record_failure(pack, reason)
        self._sweep.fail(pack, reason)
        self._observer.pack_failed(self._sweep, pack, reason)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its parts for a restore that is never asked for: a sweep is rebuilt from its
        # part files, and a display with a terminal cannot be pickled.
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: a sweep is rebuilt from its part files."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _Ticker(tune.Callback):
    """Called by Tune's loop: refreshes the display, compacts the table now and then."""

    def __init__(self, sweep: Sweep, folder: RunFolder, observer: Observer) -> None:
        self._sweep, self._folder, self._observer = sweep, folder, observer
        self._compacted = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._observer.tick(self._sweep)
        if time.monotonic() - self._compacted > COMPACT_EVERY_S:
            self._folder.compact(self._sweep)
            self._compacted = time.monotonic()


def run(
    study: Study,
    folder: RunFolder,
    observer: Observer | None = None,
    address: str = "local",
    workers: int | None = None,
) -> Sweep:
    """Run what is missing of a study through Ray Tune.

    Args:
        study: the study; the folder must have adopted it.
        folder: the output folder, locked by the caller; every worker must reach it under the same
            location.
        observer: told what happens.
        address: ``local`` starts a Ray of its own; otherwise the address of a cluster.
        workers: CPUs of a Ray that is started here; all by default.

    Returns:
        The sweep; not ``finished`` where the run was interrupted. ``trials.parquet`` is written in
        any case.

    Raises:
        InputError: the cluster cannot be reached, or could never place a pack.
    """
    observer = observer or Silent()
    sweep = folder.open_sweep(study)
    if sweep.finished:
        observer.started(sweep, "nothing is missing")
        folder.compact(sweep)
        return sweep
    started_here = _connect(address, workers)
    scratch = tempfile.mkdtemp(prefix="raysweep-tune-")
    try:
        _check_placeable(study)
        observer.started(sweep, f"Ray {address}")
        trainable = tune.with_resources(
            tune.with_parameters(_PackTrainable, study=study, location=folder.output.location),
            {"cpu": study.resources.cpus_per_pack, "gpu": study.resources.gpus_per_pack},
        )
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=_SweepSearcher(sweep, folder, observer),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=study.name,
                storage_path=scratch,
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=LOST_WORKER_RETRIES),
                # A pack has nothing to save but its part file; without this Tune asks for a
                # checkpoint at the end, and takes its absence for a lost worker.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[_Ticker(sweep, folder, observer)],
                log_to_file=False,
            ),
        )
        # The folder says what was done; Tune's own summary of a stopped run would only repeat it.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        tuner.fit()
    finally:
        folder.compact(sweep)
        shutil.rmtree(scratch, ignore_errors=True)
        if started_here:
            with contextlib.suppress(Exception):
                ray.shutdown()
    return sweep


def _connect(address: str, workers: int | None) -> bool:
    if ray.is_initialized():
        return False
    common = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **common)
        return True
    try:
        ray.init(address=address, **common)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(
            f"--address {address}: no Ray cluster answers there ({error}); give HOST:PORT of a "
            "head node, auto, or local"
        ) from error
    return True


def _check_placeable(study: Study) -> None:
    needs = {"CPU": study.resources.cpus_per_pack, "GPU": study.resources.gpus_per_pack}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(n.get(k, 0.0) >= v for k, v in needs.items()) for n in nodes):
        has = "; ".join(f"{n.get('CPU', 0):g} CPU, {n.get('GPU', 0):g} GPU" for n in nodes)
        raise InputError(
            f"resources: a pack needs {needs['CPU']:g} CPU and {needs['GPU']:g} GPU, and no node "
            f"has that (nodes: {has}); lower resources.cpus_per_pack or resources.gpus_per_pack"
        )
