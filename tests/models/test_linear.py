"""Linear encoders as a study names them."""

from checked import faults
from tiny_two_cells import StudyFactory

from raysweep.data.views import Features
from raysweep.models.named import named_architecture
from raysweep.models.shape import MultimodalShape
from raysweep.study.cells import expand

BOTH = "model.encoder=[mlp, linear]"


def test_linear_is_a_value_of_the_axis_beside_others(study_of: StudyFactory) -> None:
    plain, both = study_of(), study_of(BOTH)
    cells = expand(both)
    assert [c.id for c in cells if c.encoder == "mlp"] == [c.id for c in expand(plain)]
    last = next(cell for cell in cells if cell.encoder == "linear")
    shape = named_architecture(both.model, last, (Features(12), Features(12)), 4)
    assert isinstance(shape, MultimodalShape)
    assert {encoder.slope for encoder in shape.encoders} == {1.0}
    assert shape.widths == (last.width_1, last.width_2)


def test_what_is_wrong_with_it(study_of: StudyFactory) -> None:
    for overrides, fault in (
        ((BOTH, "model.options.heads=2"), "unknown option of mlp, linear 'heads'; it takes none"),
        ((BOTH, "training.engine=kernel"), "engine kernel trains mlp encoders only, and"),
        (("model.encoder=liner",), "unknown encoder 'liner' (did you mean linear?)"),
    ):
        found = faults(study_of, *overrides)
        assert any(fault in one for one in found), found
