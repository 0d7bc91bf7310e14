"""Advice in Python: whether to force alignment on one's own data, and what they tell."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raysweep.advice.answer import Advice
    from raysweep.advice.information import Estimated


def advise(
    data: str | Path,
    budget: str | float = "10m",
    out: str | Path | None = None,
    runner: str = "ray",
    workers: int | None = None,
    progress: bool = True,
    **columns: str,
) -> "Advice":
    """Whether to force alignment on these data, which loss and how hard, within a budget of time.

    The baseline is tuned first: learning rate, weight decay and fused head are tried without
    forcing, then losses at a few strengths. The best of both become a small study, whose verdict is
    the answer. Called again with the same ``out`` it goes on from there.

    Args:
        data: the file; see `save_data` for data that are in memory.
        budget: wall-clock time, such as ``90s``, ``10m`` or ``1h``, or a number of seconds.
        out: the output folder; by default ``results/NAME-advice``.
        runner: ``ray``, or ``local``: in this process.
        workers: CPUs of a Ray that is started; all by default.
        progress: show how far it is.
        **columns: which columns are what, as a data block says it: ``modality_1``, ``label``,
            ``split``, ``groups``, ``scale``.

    Raises:
        InputError: the data cannot be read, or the budget is too small to test anything.

    Example:
        >>> import numpy as np
        >>> import raysweep
        >>> rng = np.random.default_rng(0)
        >>> label = np.arange(120) % 2
        >>> text, image = (rng.normal(size=(120, 4)) + label[:, None] for _ in range(2))
        >>> path = raysweep.save_data("advised.npz", {"text": text, "image": image}, y=label)
        >>> advice = raysweep.advise(path, budget="2m")  # doctest: +SKIP
        >>> print(advice.decision)  # doctest: +SKIP
        no difference
    """
    from raysweep.advice.advise import advise as advised
    from raysweep.advice.budget import seconds_of
    from raysweep.advice.subject import look_at
    from raysweep.api.progress import listener
    from raysweep.api.run import RESULTS
    from raysweep.folder.run_folder import RunFolder
    from raysweep.runners.study_run import Manner
    from raysweep.trials.storage import Output

    seconds = seconds_of(str(budget))
    looked = look_at(data, columns)
    folder = RunFolder(Output(out or f"{RESULTS}/{looked.subject.name}-advice"))
    manner = Manner(runner, workers=workers, mlflow=False)
    return advised(looked, folder, seconds, manner, listener(progress))


def decompose(data: str | Path, **columns: str) -> "Estimated":
    """What each modality tells of the label: shared, unique and synergistic information, estimated.

    With intervals, and with what the same estimate finds of a label that is planted on these rows.
    The estimates are kept in the user's cache folder, by their content.

    Args:
        data: the file; see `save_data` for data that are in memory.
        **columns: as `advise`.

    Returns:
        `parts`: name (`I1`, `I2`, `I12`, `pid_R`, `pid_U1`, `pid_U2`, `pid_S`) -> `estimate`,
        `low` and `high` in nats; `planted`: `exact` and `found` in nats, and their `share`;
        `sentences` that say it.

    Raises:
        InputError: the data cannot be read, have more than two modalities or too few rows.

    Example:
        >>> import numpy as np
        >>> import raysweep
        >>> rng = np.random.default_rng(0)
        >>> label = np.arange(120) % 2
        >>> text, image = (rng.normal(size=(120, 4)) + label[:, None] for _ in range(2))
        >>> path = raysweep.save_data("told.npz", {"text": text, "image": image}, y=label)
        >>> found = raysweep.decompose(path)
        >>> both = found.parts["I12"]
        >>> bool(0 < both.low < both.estimate < both.high)
        True
    """
    from raysweep.advice.information import decomposition
    from raysweep.advice.subject import look_at

    return decomposition(look_at(data, columns).views)
