"""Writes the golden files anew, when a change of them is meant: python tests/golden/write.py."""

import json
import sys
from pathlib import Path

GOLDEN = Path(__file__).parent
CELLS = GOLDEN / "cells.json"
BROKEN_STUDY = GOLDEN / "broken.yaml"
BROKEN_MESSAGE = GOLDEN / "broken.txt"
SCHEMA = GOLDEN / "schema.txt"


def bundled_cells() -> dict[str, dict[str, str]]:
    """Bundled study -> cell id -> label."""
    from raysweep import vocabulary
    from raysweep.bundled import bundled_studies, find_study
    from raysweep.cells import expand, varying
    from raysweep.study_file import load_study

    return {
        name: varying(
            expand(load_study(find_study(name), (), vocabulary.check, vocabulary.resolve_files))
        )
        for name in bundled_studies()
    }


def main() -> None:
    CELLS.write_text(json.dumps(bundled_cells(), indent=2) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(GOLDEN.parent))
    main()
