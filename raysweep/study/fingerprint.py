"""The digest of what a trial's numbers depend on besides the trial itself."""

from raysweep.seeds import content_key
from raysweep.study.spec import StudyBase

# Raised when the same trial would give other numbers than before, so that old results are not mixed
# with new ones.
SCIENCE_VERSION = 1


def science_digest(study: StudyBase) -> str:
    """20 hexadecimal digits: equal for studies whose trials of the same name have equal numbers."""
    return content_key([SCIENCE_VERSION, study.science()])
