"""Features of pretrained models."""

from pathlib import Path
from typing import Annotated, Any

import typer

from raysweep.cli.runs import AddressOption, WorkersOption
from raysweep.cli.terminal import app, fail, stderr, stdout
from raysweep.errors import InputError
from raysweep.text import counted


@app.command()
def features(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Folders of models, .gguf files, or names on a hub; or a study file of models.",
        ),
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="TABLE", help="A .csv, .tsv, .parquet or .jsonl table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where the files go.")] = None,
    text: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column of texts; repeat.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column of paths of images; repeat."),
    ] = None,
    pooling: Annotated[
        str | None, typer.Option(help="mean, last or class; by default what fits the model.")
    ] = None,
    final_norm: Annotated[
        str, typer.Option(help="The last layer as_is, with or without the final norm.")
    ] = "as_is",
    dtype: Annotated[
        str, typer.Option(help="float32; on a GPU also float16 or bfloat16.")
    ] = "float32",
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; by default a GPU where there is one.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples at once.")] = 32,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Cut longer texts; by default at the model's limit.")
    ] = None,
    runner: Annotated[
        str, typer.Option(help="local: one model after another; ray: side by side.")
    ] = "local",
    address: AddressOption = "local",
    workers: WorkersOption = None,
    gpus_per_model: Annotated[
        float, typer.Option(min=0, help="With Ray, a model's share of a GPU, such as 0.5.")
    ] = 0.0,
) -> None:
    """Take the features of all layers of pretrained models; models that are done are skipped."""
    from raysweep.features.extract import extract_features
    from raysweep.features.of_study import features_of_study, is_study

    def tell(line: str) -> None:
        stderr.print(line, highlight=False, markup=False, soft_wrap=True)

    manner: dict[str, Any] = {
        "pooling": pooling,
        "final_norm": final_norm,
        "dtype": dtype,
        "device": device,
        "batch_size": batch_size,
        "max_tokens": max_tokens,
        "runner": runner,
        "address": address,
        "workers": workers,
        "gpus_per_model": gpus_per_model,
        "tell": tell,
    }
    if len(models) == 1 and is_study(models[0]):
        if data or out or text or image:
            raise InputError(
                f"{models[0]}: says itself which table, columns and files; leave out --data, "
                "--out, --text and --image"
            )
        made = features_of_study(models[0], **manner)
    elif data is None or out is None:
        raise InputError("give --data TABLE and --out FOLDER, or a study file of models alone")
    else:
        made = extract_features(models, data, out, text=text or (), image=image or (), **manner)
    failed = [one for one in made if one.failure]
    for one in failed:
        stderr.print(one.failure, highlight=False, markup=False, soft_wrap=True)
    for one in made:
        if not one.failure:
            for path in one.files:
                stdout.print(str(path), highlight=False, markup=False, soft_wrap=True)
    if failed:
        fail(f"{counted(len(failed), 'model')} of {len(made)} failed", 1)
