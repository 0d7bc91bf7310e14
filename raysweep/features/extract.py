"""Features of several models on the columns of one table: what is done is skipped."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from raysweep.errors import InputError
from raysweep.trials.storage import Output

if TYPE_CHECKING:
    from raysweep.features.encoder import Manner
    from raysweep.features.work import Column, Job

_RUNNERS = ("local", "ray")
_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True)
class FeaturesMade:
    """What has become of one model.

    Attributes:
        model: as it was given.
        files: its files, one a column, in the order of the columns.
        skipped: how many of these were there already.
        failure: why it was given up; empty where it was not.
    """

    model: str
    files: tuple[Path, ...]
    skipped: int
    failure: str = ""


def extract_features(
    models: Sequence[str | Path],
    data: str | Path,
    out: str | Path,
    *,
    text: Sequence[str] = (),
    image: Sequence[str] = (),
    pooling: str | None = None,
    final_norm: str = "as_is",
    dtype: str = "float32",
    device: str | None = None,
    batch_size: int = 32,
    max_tokens: int | None = None,
    runner: str = "local",
    address: str = "local",
    workers: int | None = None,
    gpus_per_model: float = 0.0,
    tell: Callable[[str], None] = lambda line: None,
) -> list[FeaturesMade]:
    """Take the features of all layers of pretrained models, one file a model and column.

    A file is ``OUT/MODEL.COLUMN.safetensors`` with tensors ``layer_000``, ``layer_001``, ..., each
    [n, d] float32, row i of the table's row i, and the whole recipe in its header. Files that are
    there by the same recipe are left as they are. None of the numbers depends on `batch_size`, on
    the side on which a tokenizer pads, or on the runner, up to the rounding of the dtype.

    Args:
        models: folders that ``save_pretrained`` wrote, ``.gguf`` files, or names on the Hugging
            Face hub, ``name@revision`` too; only what is named is downloaded.
        data: a table, as .csv, .tsv, .parquet or .jsonl.
        out: a folder; made where it is missing.
        text: columns of texts, for models that take texts.
        image: columns of paths of images, relative to the table, for models that take images.
        pooling: ``mean`` (over a text's tokens, or an image's patches), ``last`` (token of a text)
            or ``class`` (token). None: the mean for texts, for images the class token where there
            is one.
        final_norm: what the last layer is: ``as_is``, ``with`` or ``without`` the norm after the
            last block. As is, it is with it for Llama and without it for ViT.
        dtype: what models compute in; ``float16`` and ``bfloat16`` on a GPU alone.
        device: such as ``cuda:0``; by default a GPU where there is one.
        batch_size: samples at once.
        max_tokens: longer texts are cut; None: what each model takes.
        runner: ``local``, one model after another in this process, or ``ray``, side by side.
        address: of a Ray cluster, whose nodes share all files; ``local`` starts one here.
        workers: CPUs of a Ray that is started here.
        gpus_per_model: how much of a GPU a model needs, such as 0.5; of Ray.
        tell: given a line when something has got on.

    Returns:
        What has become of each model, in their order. A model that fails does not end the others.

    Raises:
        InputError: something given is wrong, found before any model is run: a column that is
            missing, a model that takes none of the columns, a file that was made otherwise.

    Example:
        >>> import raysweep
        >>> try:
        ...     raysweep.extract_features(["gpt2"], "captions.txt", "features", text=["caption"])
        ... except raysweep.InputError as error:
        ...     print(str(error).partition(";")[0])
        captions.txt: no such file
    """
    from raysweep.features.encoder import Manner
    from raysweep.features.recipe import Dtype, FinalNorm, Pooling

    if runner not in _RUNNERS:
        raise InputError(f"--runner {runner}: expected {' or '.join(_RUNNERS)}")
    if not text and not image:
        raise InputError("no column is given; give --text COLUMN, --image COLUMN or both")
    if gpus_per_model < 0 or (gpus_per_model and runner != "ray"):
        raise InputError(
            f"--gpus-per-model {gpus_per_model:g}: is a number of 0 or more, for --runner ray"
        )
    manner = Manner(
        pooling=None if pooling is None else _one_of("--pooling", pooling, Pooling),
        final_norm=_one_of("--final-norm", final_norm, FinalNorm),
        dtype=_one_of("--dtype", dtype, Dtype),
        device=device or _device(runner, gpus_per_model),
        batch_size=batch_size,
        max_tokens=max_tokens,
    )
    folder = Path(out).expanduser().resolve()
    columns = _columns(Path(data).expanduser(), text, image)
    jobs = _planned([str(model) for model in models], columns, manner, folder)
    left = {model: [job for job in found if not job.is_done()] for model, found in jobs.items()}
    for model, found in jobs.items():
        if done := len(found) - len(left[model]):
            tell(f"{model}: {done} of {len(found)} done before")
    folder.mkdir(parents=True, exist_ok=True)
    Output(folder).remove_unfinished()
    todo = {model: found for model, found in left.items() if found}
    if runner == "ray" and todo:
        from raysweep.features.with_ray import make_all

        failures = make_all(todo, manner, gpus_per_model, address, workers, tell)
    else:
        failures = _make_all(todo, manner, tell)
    return [
        FeaturesMade(
            model,
            tuple(job.path for job in found),
            len(found) - len(left[model]),
            failures.get(model, ""),
        )
        for model, found in jobs.items()
    ]


def _make_all(
    todo: "Mapping[str, list[Job]]", manner: "Manner", tell: Callable[[str], None]
) -> dict[str, str]:
    """One model after another; why some failed."""
    from raysweep.features.work import attempt

    return {
        model: failure for model, jobs in todo.items() if (failure := attempt(jobs, manner, tell))
    }


def _one_of(option: str, given: str, choices: type[_Choice]) -> _Choice:
    try:
        return choices(given)
    except ValueError:
        raise InputError(f"{option} {given}: expected {', '.join(choices)}") from None


def _device(runner: str, gpus_per_model: float) -> str:
    if runner == "ray":
        return "cuda" if gpus_per_model else "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _columns(data: Path, text: Sequence[str], image: Sequence[str]) -> "list[Column]":
    """The columns that are asked for, read."""
    from raysweep.features.opening import IMAGE, TEXT
    from raysweep.features.recipe import digest_of_files, digest_of_texts
    from raysweep.features.table import Table
    from raysweep.features.work import Column

    if not data.is_file():
        raise InputError(f"{data}: no such file; expected a table as .csv, .parquet or .jsonl")
    twice = [name for name, count in Counter([*text, *image]).items() if count > 1]
    if twice:
        raise InputError(f"the column {twice[0]} is given twice")
    table = Table(data)
    columns = []
    for name in text:
        texts = table.texts(name)
        columns.append(Column(name, TEXT, texts, digest_of_texts(texts)))
    for name in image:
        paths = table.images(name)
        columns.append(Column(name, IMAGE, paths, digest_of_files(paths)))
    return columns


def _planned(
    models: Sequence[str], columns: "Sequence[Column]", manner: "Manner", folder: Path
) -> "dict[str, list[Job]]":
    """The files of each model, those that are there, too."""
    from raysweep.features.opening import modalities_of
    from raysweep.features.source import Source
    from raysweep.features.work import planned

    if not models:
        raise InputError("no model is given; give folders, or names on the Hugging Face hub")
    jobs: dict[str, list[Job]] = {}
    for model in dict.fromkeys(models):
        source = Source.of(model)
        takes = modalities_of(source)
        fitting = [column for column in columns if column.modality in takes]
        if not fitting:
            raise InputError(
                f"{model}: takes {' and '.join(takes)}, and no such column is given; give "
                + " or ".join(f"--{modality} COLUMN" for modality in takes)
            )
        jobs[model] = [planned(source, column, manner, folder) for column in fitting]
    paths = Counter(job.path for found in jobs.values() for job in found)
    for path, count in paths.items():
        if count > 1:
            raise InputError(
                f"{count} models would be written to {path.name}; rename one of their folders, or "
                "give them to another --out"
            )
    return jobs
