"""Studies in Python: read from a file, or given as keywords."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysweep.kinds.kind import StudySize
    from raysweep.study.spec import StudyBase


class Study:
    """A study: what is swept, trained, searched and tested, with all defaults filled in.

    Args:
        **keywords: the keys of a study file, as plain values: ``name`` and ``data`` are required.
            They are checked as a file is, and relative paths are relative to the working folder.

    Raises:
        InputError: the study has faults; the message lists all of them, each with its key.

    Example:
        >>> import raysweep
        >>> study = raysweep.Study(
        ...     name="tiny",
        ...     data={"dataset": "synthetic", "U": 4, "train": 64, "test": 64},
        ...     training={"epochs": 2, "batch_size": 32},
        ...     search={"trials": 2, "generation": 2, "seeds": 1},
        ...     confirm={"seeds": 3},
        ... )
        >>> study
        Study(name='tiny', kind='forcing', cells=1)
        >>> raysweep.Study(name="tiny", data={"dataset": "synthetic"}, seed="one")
        Traceback (most recent call last):
        ...
        raysweep.study.reader.StudyFileError: Study: 2 faults
          data: dataset synthetic needs U: ...
          seed: expected a whole number, found 'one'
    """

    resolved: "StudyBase"

    def __init__(self, **keywords: Any) -> None:
        from raysweep.api.keywords import read_keywords
        from raysweep.study import checks
        from raysweep.study.reader import checked_study

        document = read_keywords(keywords)
        self.resolved = checked_study(
            document, "Study", Path.cwd(), checks.check, checks.resolve_files
        )

    @classmethod
    def of(cls, resolved: "StudyBase") -> "Study":
        """The study of a run, which was checked when it was begun."""
        study = cls.__new__(cls)
        study.resolved = resolved
        return study

    @property
    def name(self) -> str:
        """Its name."""
        return self.resolved.name

    @property
    def kind(self) -> str:
        """``forcing`` or ``emergence``."""
        return self.resolved.kind

    def to_yaml(self) -> str:
        """The study as the text of a study file, all defaults filled in.

        Example:
            >>> import raysweep
            >>> study = raysweep.load_study("quickstart")
            >>> print(study.to_yaml().splitlines()[0])
            name: quickstart
        """
        from raysweep.study.reader import dump_study

        return dump_study(self.resolved)

    def size(self, measure_time: bool = False) -> "StudySize":
        """Cells, trials, packs and encoders of the whole study.

        Args:
            measure_time: train a little, to estimate ``seconds`` of one worker.

        Example:
            >>> import raysweep
            >>> raysweep.load_study("quickstart").size().trials
            430
        """
        from raysweep.kinds.kind import study_size

        return study_size(self.resolved, measure_time)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Study) and self.resolved == other.resolved

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        from raysweep.study.cells import expand

        cells = len(expand(self.resolved))
        return f"Study(name={self.name!r}, kind={self.kind!r}, cells={cells})"


def load_study(path: str | Path, **overrides: Any) -> Study:
    """Read and check a study file, or one of the bundled studies.

    Args:
        path: of the file; or the name of a bundled study, such as ``quickstart``.
        **overrides: values in place of the file's: ``search__trials=8``, the keys of a place with
            two underscores between them (``data__0__U=[0, 4]`` is of the first block).

    Raises:
        InputError: the file cannot be read, or the study has faults; the message lists all of them.

    Example:
        >>> import raysweep
        >>> raysweep.load_study("quickstart", confirm__seeds=20)
        Study(name='quickstart', kind='forcing', cells=5)
    """
    from raysweep.api.keywords import put
    from raysweep.errors import InputError
    from raysweep.study import checks
    from raysweep.study.bundled import find_study
    from raysweep.study.reader import checked_study, document_in, read_text

    file = find_study(str(path))
    document, lines = document_in(read_text(file), str(file)), []
    for keyword, value in overrides.items():
        try:
            put(document, keyword, value)
        except InputError as error:
            lines.append(str(error))
    folder = file.resolve().parent
    return Study.of(
        checked_study(document, str(file), folder, checks.check, checks.resolve_files, lines)
    )
