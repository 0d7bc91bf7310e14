"""The whole loop in this process: for debugging, and as the twin of the Ray runner in tests."""

import traceback

from raysweep.folder.run_folder import RunFolder
from raysweep.kinds.kind import kind_of
from raysweep.kinds.sweep import Sweep
from raysweep.runners.attempt import (
    attempt,
    device_for,
    own_threads,
    prepare_process,
    use_threads_of,
)
from raysweep.runners.epochs import Epochs
from raysweep.runners.observer import Observer, Silent
from raysweep.study.files import check_code
from raysweep.study.spec import StudyBase
from raysweep.trials.table import results_of, write_part


def run(study: StudyBase, folder: RunFolder, observer: Observer | None = None) -> Sweep:
    """Run what is missing of a study, pack by pack, in this process.

    Args:
        study: the study; the folder must have adopted it.
        folder: the output folder, locked by the caller.
        observer: told what happens.

    Returns:
        The sweep; its ``failures`` names the packs that raised. ``trials.parquet`` is written also
        when the run is interrupted.

    Raises:
        InputError: code of the user's own has changed since the study was resolved.
        OSError: the output cannot be written.
    """
    observer = observer or Silent()
    with own_threads():
        return _run(study, folder, observer)


def _run(study: StudyBase, folder: RunFolder, observer: Observer) -> Sweep:
    prepare_process(study)
    execute = kind_of(study).executor(folder.output)
    sweep = folder.open_sweep(study)
    if not sweep.finished:
        check_code(study)
    observer.started(sweep, "running in this process")
    epochs = Epochs(folder, observer)
    try:
        while (pack := sweep.next_pack()) is not None:
            sweep.begin(pack)
            epochs.tick(sweep)
            try:
                use_threads_of(study, pack)
                with epochs.ticking(sweep):
                    rows = attempt(study, pack, device_for(study, pack), execute=execute)
            except Exception:
                reason = traceback.format_exc()
                folder.record_failure(pack, reason)
                sweep.fail(pack, reason)
                observer.pack_failed(sweep, pack, reason)
                continue
            write_part(folder.output, pack.key, rows)
            folder.clear_failure(pack)
            sweep.complete(pack, results_of(rows))
            observer.pack_finished(sweep, pack, rows)
    except KeyboardInterrupt:
        observer.stopping(sweep)
        raise
    finally:
        folder.compact(sweep)
    return sweep
