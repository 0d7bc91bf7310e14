"""What people should know of the user's own data before they are trained on."""

from collections.abc import Iterator

from raysweep.data.registry import find_dataset, load
from raysweep.data.views import Views
from raysweep.errors import InputError
from raysweep.study.cells import expand
from raysweep.study.files import check_files
from raysweep.study.spec import StudyBase


def own_notes(study: StudyBase, closely: bool = False) -> list[str]:
    """A sentence for each thing to know of the files of a study, in their order.

    How many rows belong together, what equal rows were not taken to, what a given split parts, and
    which arrays are not used. Files that cannot be read here, or have changed, have none.

    Args:
        study: a resolved study.
        closely: whether to look for rows that are nearly equal, which takes seconds.
    """
    told: dict[str, None] = {}
    for views in _views(study):
        notes = list(views.notes)
        if closely:
            # Late, as scikit-learn takes a second to import.
            from raysweep.data.near_duplicates import near_duplicates

            notes += near_duplicates(views, views.names)
        told.update(dict.fromkeys(f"{views.characteristics['file']}: {note}" for note in notes))
    return list(told)


def _views(study: StudyBase) -> Iterator[Views]:
    """Each file of a study once, split as in its first draw."""
    seen = set()
    for cell in expand(study) if study.data else ():
        asked = (cell.dataset, cell.parameters)
        if not find_dataset(cell.dataset).own or asked in seen:
            continue
        seen.add(asked)
        try:
            check_files(study, cell)
            yield load(cell.dataset, dict(cell.parameters), cell.draws[0])
        except InputError:
            continue  # whoever needs the file says what is wrong with it
