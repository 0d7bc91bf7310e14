"""A user's own loss is tried before it is trained with: what cannot be forced is refused."""

import pytest
from checked import faults
from tiny_two_cells import StudyFactory


@pytest.mark.parametrize(
    ("loss", "overrides"),
    [
        ("own_losses:distance", ()),
        ("own_losses:distance", ("alignment.options={power: 1.5, projection: mlp}",)),
        ("own_losses:distance", ("alignment.options.stop_gradient='1'",)),
        ("own_losses:distance", ("search.options.power={low: 1, high: 3}",)),
        ("own_losses:distance", ("training.dtype=float32",)),
        ("own_losses:packed", ("alignment.options.packed=true",)),
        ("own_losses:hinge", ()),
        ("own_losses:undefined", ()),
        ("own_losses:needs_more_rows_than_features", ()),
        ("own_losses:instance", ()),
        ("torch.nn.functional:mse_loss", ()),
    ],
)
def test_what_can_be_forced_is_taken(
    study_of: StudyFactory, loss: str, overrides: tuple[str, ...]
) -> None:
    assert study_of(f"alignment.loss={loss}", *overrides).alignment.loss == loss


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text", "the function returned str; it must return a torch tensor of one value"),
        ("nothing", "the function returned NoneType; it must return a torch tensor"),
        ("array", "the function returned ndarray; it must return a torch tensor"),
        ("number", "the function returned float; it must return a torch tensor"),
        ("whole", "does not depend on h1 or h2 in a way that torch can differentiate"),
        ("complex_number", "the function returned torch.complex128; a loss is a real number"),
        ("rows", "the function returned shape [16] for inputs [16, 8] and [16, 8]"),
        ("detached", "does not depend on h1 or h2 in a way that torch can differentiate"),
        ("flat", "the gradient is 0 in every entry, on random features of three scales"),
        ("infinite", "the value is infinite, on random features of three scales"),
        ("random", "draws random numbers from torch's default generator"),
        ("counting", "members have other values together than alone"),
        (
            "raising",
            "tried on 16 random rows of 8 and 8 features: IndexError: Dimension out of range "
            "(expected to be in range of [-2, 1], but got 7); own_losses.py, line ",
        ),
        ("ending", "tried on 16 random rows of 8 and 8 features: SystemExit: enough; own_losses"),
        ("one_sided", "cannot be called as one_sided(h1, h2, **options)"),
        ("packed", "tried on 16 random rows of 8 and 8 features: IndexError"),
        ("Distance", "is a class, whose call makes an object and no number"),
    ],
)
def test_what_cannot_be_forced_is_refused_by_what_it_does(
    study_of: StudyFactory, capsys: pytest.CaptureFixture[str], name: str, expected: str
) -> None:
    [fault] = faults(study_of, f"alignment.loss=own_losses:{name}")
    assert f"alignment.loss: loss own_losses:{name}" in fault
    assert expected in fault
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("builtins:print", "the function returned NoneType"),
        ("builtins:max", "RuntimeError"),
        ("builtins:dict", "is a class"),
        ("json:dumps", "cannot be called as dumps(h1, h2, **options)"),
        ("operator:add", "the function returned shape [16, 8]"),
        ("os:getcwd", "cannot be called as getcwd(h1, h2, **options)"),
        ("os.path:join", "TypeError"),
        ("random:random", "cannot be called as random(h1, h2, **options)"),
        ("torch:nn", "torch has module; it must be a function nn"),
        ("torch.nn:MSELoss", "is a class"),
    ],
)
def test_functions_that_are_no_losses_are_refused(
    study_of: StudyFactory, path: str, expected: str
) -> None:
    [fault] = faults(study_of, f"alignment.loss={path}")
    assert expected in fault


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("builtins:dict", "the function returned dict; it must return a torch.nn.Module"),
        ("builtins:print", "cannot be called as print(inputs=..., depth=..., width=..."),
        ("os:getcwd", "cannot be called as getcwd(inputs=..., depth=..., width=..., **options)"),
        ("torch.nn:Linear", "cannot be called as Linear(inputs=..., depth=..., width=..."),
    ],
)
def test_functions_that_make_no_encoder_are_refused(
    study_of: StudyFactory, path: str, expected: str
) -> None:
    [fault] = faults(study_of, f"model.encoder={path}")
    assert expected in fault


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("alignment.options.powr=2",), "got an unexpected keyword argument 'powr'"),
        (("alignment.options.packed=true",), "returned shape [] for inputs [2, 16, 8]"),
        (("search.options.power=[1, two]",), "search.options: with power: two: "),
    ],
)
def test_options_that_the_function_cannot_use_are_told(
    study_of: StudyFactory, overrides: tuple[str, ...], expected: str
) -> None:
    [fault] = faults(study_of, "alignment.loss=own_losses:distance", *overrides)
    assert expected in fault


def test_a_packed_function_that_mixes_members_is_refused(study_of: StudyFactory) -> None:
    packed = "alignment.options.packed=true"
    [fault] = faults(study_of, "alignment.loss=own_losses:mixed", packed)
    assert "members have other values together than alone" in fault
