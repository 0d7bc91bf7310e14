"""What people should know of the user's own data before they are trained on."""

from collections.abc import Iterator

from raysweep.data.registry import find_dataset, load
from raysweep.data.views import Views
from raysweep.errors import InputError
from raysweep.study.cells import Cell, expand
from raysweep.study.files import check_digests
from raysweep.study.spec import StudyBase
from raysweep.text import counted, visible


def own_notes(study: StudyBase, closely: bool = False) -> list[str]:
    """A sentence for each thing to know of the files of a study, in their order.

    How many rows belong together, what equal rows were not taken to, what a given split parts, and
    which arrays are not used. Files that cannot be read here, or have changed, have none.

    Args:
        study: a resolved study.
        closely: whether to say what each file was read as, too, and to look for rows that are
            nearly equal, which takes seconds.
    """
    told: dict[str, None] = {}
    for cell, views in _views(study):
        notes = list(views.notes)
        if closely:
            notes.insert(0, read_as(cell, views))
            # Late, as scikit-learn takes a second to import.
            from raysweep.data.near_duplicates import near_duplicates

            notes += near_duplicates(views, views.names)
        told.update(dict.fromkeys(f"{views.characteristics['file']}: {note}" for note in notes))
    return list(told)


def read_as(cell: Cell, views: Views) -> str:
    """What a file was read as: its modalities with their features, its label, rows and classes.

    Of a label that is no class it says what it is in place of the classes.
    """
    parts = [
        f"modality {k} = {visible(name)} ({features.words})"
        for k, (name, features) in enumerate(zip(views.names, views.features, strict=True), start=1)
    ]
    said = dict(cell.parameters)
    parts += [f"label = {visible(str(said['label']))}"] if "label" in said else []
    return ", ".join([*parts, counted(len(views.y), "row"), views.label_words])


def _views(study: StudyBase) -> Iterator[tuple[Cell, Views]]:
    """Each file of a study once, split as in its first draw."""
    seen = set()
    for cell in expand(study) if study.data else ():
        asked = (cell.dataset, cell.parameters)
        if not find_dataset(cell.dataset).own or asked in seen:
            continue
        seen.add(asked)
        try:
            check_digests(dict(cell.contents))
            yield cell, load(cell.dataset, dict(cell.parameters), cell.draws[0])
        except InputError:
            continue  # whoever needs the file says what is wrong with it
