"""The unit of work of an emergence study: data that differ in heterogeneity alone; its trials.

Encoders never meet while they train, so an encoder is trained once for all the pairs it is in: one
of modality 1 for every heterogeneity of modality 2.
"""

from dataclasses import dataclass, field
from functools import cached_property

from raysweep.data.registry import find_dataset
from raysweep.kinds.emergence.study import EmergenceStudy
from raysweep.seeds import content_key
from raysweep.study.cells import Cell, expand, varying
from raysweep.study.spec import MLP, Scalar
from raysweep.trials.columns import named
from raysweep.trials.trial import Trial

_RATES = ("learning_rate", "weight_decay")


@dataclass(frozen=True)
class Rates:
    """Learning rate (> 0) and weight decay (>= 0) of one modality's encoders."""

    learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class EncoderTrial(Trial):
    """A pair of encoders that were trained apart; while tuning, one encoder.

    Attributes:
        rates: of modality 1 and modality 2.
        modality: the one that is tuned, 1 or 2; 0 where a pair is measured.
    """

    rates: tuple[Rates, Rates] = field(kw_only=True)
    modality: int = field(default=0, kw_only=True)

    def own_rates(self) -> tuple[int, tuple[tuple[str, float], ...]]:
        """The modality that is tuned, else 0; (name, value) of the rates used."""
        if self.modality:
            rates = self.rates[self.modality - 1]
            return self.modality, tuple((name, getattr(rates, name)) for name in _RATES)
        both = enumerate(self.rates, 1)
        return 0, tuple((named(name, m), getattr(of, name)) for m, of in both for name in _RATES)

    @cached_property
    def key(self) -> str:
        """The trial's name: a hash of everything its numbers depend on."""
        used = self.rates if self.modality == 0 else (self.rates[self.modality - 1],)
        return content_key(
            [
                self.science,
                self.cell.id,
                self.draw,
                self.seed,
                self.stage.value,
                self.modality,
                [[r.learning_rate.hex(), r.weight_decay.hex()] for r in used],
            ]
        )


@dataclass(frozen=True)
class Family:
    """The cells of one dataset and encoder whose data differ in heterogeneity alone.

    Attributes:
        key: name, made from what the cells share.
        cells: in the order of the study.
    """

    key: str
    cells: tuple[Cell, ...]

    @property
    def draws(self) -> tuple[int, ...]:
        """The draws of its cells, each once."""
        return tuple(dict.fromkeys(draw for cell in self.cells for draw in cell.draws))

    @property
    def variants(self) -> int:
        """How many heterogeneities there are."""
        return len({cell.parameters for cell in self.cells})


def families(study: EmergenceStudy) -> list[Family]:
    """The families of a study, in the order of their first cells."""
    members: dict[str, list[Cell]] = {}
    for cell in expand(study):
        heterogeneity = find_dataset(cell.dataset).heterogeneity
        content = dict(cell.contents)
        shared = {
            name: content.get(value, value) if isinstance(value, str) else value
            for name, value in cell.parameters
            if name not in heterogeneity
        }
        of: list[object] = [cell.dataset, shared]
        # What was tuned before there was a choice keeps its seeds.
        of += [] if cell.encoder == MLP else [cell.encoder, dict(cell.options)]
        members.setdefault(content_key(of), []).append(cell)
    return [Family(key, tuple(cells)) for key, cells in members.items()]


def family_labels(families: list[Family]) -> dict[str, str]:
    """Key -> a short name that tells the families apart."""
    first: list[Cell] = [family.cells[0] for family in families]
    labels = varying(first)
    return {family.key: labels[cell.id] for family, cell in zip(families, first, strict=True)}


def heterogeneity_depth(cell: Cell) -> Scalar | None:
    """D_phi of a cell; None for data without."""
    return dict(cell.parameters).get("D_phi")
