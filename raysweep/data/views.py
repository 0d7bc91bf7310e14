"""What every dataset hands on: views of the same rows, their splits and what is known of them.

Axis letters: n rows, d features, c classes, p distinct inputs, q joint inputs.
"""

from dataclasses import dataclass, field, fields, replace

import numpy as np

from raysweep.data.images import Images
from raysweep.data.tokens import Bools as Bools
from raysweep.data.tokens import Floats as Floats
from raysweep.data.tokens import Integers as Integers
from raysweep.data.tokens import Tokens
from raysweep.text import counted
from raysweep.trials.columns import named
from raysweep.trials.tasks import Task

Layout = Tokens | Images
"""How rows lie that are no rows of features."""


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint int64 row indices of the three splits."""

    train: Integers
    validation: Integers
    test: Integers


@dataclass(frozen=True, eq=False)
class JointInputs:
    """All modalities together: every joint input that can occur.

    Attributes:
        pairs: for each modality [q] int64, the row of its inputs in each joint input.
        weight: [q] float64, the probability of each joint input; sums to 1.
        conditional: [q, c] float64, p(label | joint input); every row sums to 1.
    """

    pairs: tuple[Integers, ...]
    weight: Floats
    conditional: Floats


@dataclass(frozen=True, eq=False)
class Population:
    """Every input that can occur, with its probability: performance without test noise.

    Attributes:
        inputs: for each modality [p, d] float64, its distinct inputs, scaled like the rows.
        margins: for each modality [p, c] float64, p(input, label); sums to 1.
        joint: the joint inputs; None where they are too many to list.
    """

    inputs: tuple[Floats, ...]
    margins: tuple[Floats, ...]
    joint: JointInputs | None

    @classmethod
    def listed(
        cls,
        inputs: tuple[Floats, ...],
        pairs: tuple[Integers, ...],
        weight: Floats,
        conditional: Floats,
    ) -> "Population":
        """The population of joint inputs that are listed; arguments as the attributes."""
        joint = weight[:, None] * conditional
        margins: tuple[Floats, ...] = tuple(
            np.stack([np.bincount(pair, column, len(x)) for column in joint.T], axis=1)
            for x, pair in zip(inputs, pairs, strict=True)
        )
        return cls(inputs, margins, JointInputs(pairs, weight, conditional))

    @property
    def x1(self) -> Floats:
        """The distinct inputs of modality 1."""
        return self.inputs[0]

    @property
    def x2(self) -> Floats:
        """The distinct inputs of modality 2."""
        return self.inputs[1]


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of an estimated number, in nats, never below 0."""

    low: float
    high: float


@dataclass(frozen=True)
class Information:
    """What the modalities tell about the label Y, in nats; accuracies in 0..1.

    ``I_shared`` is structural, I(features that all modalities have; Y), and differs from the
    redundancy ``pid_R`` of the decomposition: I1 = R + U1, I2 = R + U2, I12 = R + U1 + U2 + S. The
    decomposition, ``I12`` and ``I_X1X2`` are of modalities 1 and 2, however many there are;
    ``bayes_fused`` is of all.

    Attributes:
        I_all: I(all modalities; Y); None where two are all there is to it.
        I_further, bayes_further: of modality 3, 4, ...
        intervals: of numbers that were estimated, by name; empty where they are exact.
    """

    I1: float
    I2: float
    I12: float
    I_shared: float
    I_X1X2: float
    pid_R: float
    pid_U1: float
    pid_U2: float
    pid_S: float
    bayes_1: float
    bayes_2: float
    bayes_fused: float
    I_all: float | None = None
    I_further: tuple[float, ...] = ()
    bayes_further: tuple[float, ...] = ()
    intervals: dict[str, Interval] = field(default_factory=dict)

    def columns(self) -> dict[str, float]:
        """The numbers there are, by column of the trial table."""
        found: dict[str, float] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "intervals":
                continue
            if isinstance(value, tuple):
                for number, v in enumerate(value, start=3):
                    of_i = entry.name == "I_further"
                    found[f"I{number}" if of_i else named("bayes", number)] = v
            elif value is not None:
                found[entry.name] = value
        return found


@dataclass(frozen=True, eq=False)
class Views:
    """One draw of a dataset. Its arrays are shared between callers: read, never write.

    Compares and hashes by identity: two loads that hit the same memory are the same object.

    Attributes:
        inputs: for each modality, one or more, [n, d] float64, scaled with the training split's
            statistics; row i of all of them is the same sample.
        y: [n] int64 labels in 0..classes-1, of ranks in their order; of a label that is a number
            the part of its range (by quantiles) that it lies in, of several labels which of the
            common sets a row has, for what needs classes: splits, estimates of information.
        classes: c, how many of them there are.
        splits: which rows train, validate and test.
        characteristics: columns of the trial table that describe the data (U, D_phi, ...).
        information: exact where the distribution is known, None otherwise.
        population: every input, where they can be listed; None otherwise.
        groups: [n] int64, equal for rows that belong together (captions of one image, visits of one
            patient); None where every row stands alone.
        resplit: whether other draws are other splits of the same rows.
        names: of the modalities, where the user's own data name them.
        notes: what people should know of the rows and how they were split, a sentence each.
        task: what the label is.
        values: [n] float64, the label where it is a number, in its own unit; None otherwise.
        targets: [n, k] float64 of 0 and 1: which of k labels a row has, or of a rank whether it is
            above each of the k lower ones; None of classes and numbers.
        layouts: of each modality that is sequences or images how its rows lie, None of the others;
            empty where none is.
        present: [n, modalities], which of them a row has; None where every row has all. What a row
            lacks is 0 in its inputs.
    """

    inputs: tuple[Floats, ...]
    y: Integers
    classes: int
    splits: Splits
    characteristics: dict[str, int | float | str] = field(default_factory=dict)
    information: Information | None = None
    population: Population | None = None
    groups: Integers | None = None
    resplit: bool = False
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    task: Task = Task.CLASSIFICATION
    values: Floats | None = None
    targets: Floats | None = None
    layouts: tuple[Layout | None, ...] = ()
    present: Bools | None = None

    def having(self, rows: Integers, modality: int | None = None) -> Integers:
        """Those of the rows that have a modality (1, 2, ...), or all of them."""
        if self.present is None:
            return rows
        of = self.present if modality is None else self.present[:, modality - 1 : modality]
        return rows[of[rows].all(axis=1)]

    @property
    def features(self) -> tuple["Features", ...]:
        """What the rows of each modality are."""
        of = self.layouts or (None,) * len(self.inputs)
        return tuple(Features(x.shape[1], t) for x, t in zip(self.inputs, of, strict=True))

    @property
    def summaries(self) -> tuple[Floats, ...]:
        """The inputs, of sequences and images what says their gist in a short row."""
        sides = zip(self.inputs, self.features, strict=True)
        return tuple(x if of.layout is None else of.layout.summary(x) for x, of in sides)

    @property
    def outputs(self) -> int:
        """How many numbers a head gives of a row: a logit of each class or label, or one number."""
        if self.targets is not None:
            return self.targets.shape[1]
        return self.classes if self.values is None else 1

    @property
    def told(self) -> Floats | Integers:
        """What heads are to tell, [n] or [n, k]: class, number in its own unit, or 0 and 1."""
        if self.targets is not None:
            return self.targets
        return self.y if self.values is None else self.values

    @property
    def label_words(self) -> str:
        """What the label is, for people."""
        if self.task is Task.MULTILABEL:
            return f"{self.outputs} labels, of which a row may have several"
        if self.task is Task.ORDINAL:
            return counted(self.classes, "rank")
        return f"{self.classes} classes" if self.values is None else "a number to predict"

    @property
    def value_scaling(self) -> "Scaling":
        """From the unit of a label that is a number to mean 0 and sd 1 of the training split."""
        assert self.values is not None
        return z_scaling(self.values[self.splits.train][:, None])

    @property
    def in_groups(self) -> bool:
        """Whether there are rows that belong together."""
        return self.groups is not None and len(np.unique(self.groups)) < len(self.groups)

    @property
    def x1(self) -> Floats:
        """Modality 1, [n, d1]."""
        return self.inputs[0]

    @property
    def x2(self) -> Floats:
        """Modality 2, [n, d2]."""
        return self.inputs[1]

    def alone(self, modality: int) -> "Views":
        """The same rows of one modality (1, 2, ...), without what is known of several."""
        at, population = modality - 1, self.population
        if population is not None:
            population = Population((population.inputs[at],), (population.margins[at],), None)
        return replace(
            self,
            inputs=(self.inputs[at],),
            information=None,
            population=population,
            names=self.names[at : at + 1],
            layouts=self.layouts[at : at + 1],
            present=None if self.present is None else self.present[:, at : at + 1],
        )


@dataclass(frozen=True)
class Features:
    """What the rows of a modality are.

    Attributes:
        columns: of its inputs.
        layout: of sequences and images how they lie in these columns; None where they are features.
    """

    columns: int
    layout: Layout | None = None

    @property
    def tokens(self) -> Tokens | None:
        """Of sequences how they lie; None of anything else."""
        return self.layout if isinstance(self.layout, Tokens) else None

    @property
    def images(self) -> Images | None:
        """Of images how they lie; None of anything else."""
        return self.layout if isinstance(self.layout, Images) else None

    @property
    def words(self) -> str:
        """For people."""
        return counted(self.columns, "feature") if self.layout is None else self.layout.words

    def refused(self, encoder: str, modality: str, what: str = "a row of features") -> str:
        """Why an encoder of rows of features, or of something else, does not take a sequence."""
        return (
            f"{encoder} takes {what}, and {modality} has {self.words}; take encoder "
            f"transformer, or make them one row, {modality}.reshape(len({modality}), -1)"
        )


_SQUARES_VANISH = 1e-140
"""Below it the square of what still varies may be 0 in float64."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """x -> (x - mean) / sd, feature by feature; a feature that is constant becomes 0."""

    mean: Floats
    sd: Floats

    def __call__(self, x: Floats) -> Floats:
        """Scale the [n, d] float64 rows ``x``; returns a new [n, d] float64 array."""
        varies = self.sd > 0
        return np.where(varies, (x - self.mean) / np.where(varies, self.sd, 1.0), 0.0)


def z_scaling(train: Floats) -> Scaling:
    """Scaling to mean 0 and sd 1 (population sd, as the paper) of the [n, d] training rows.

    A feature whose sd is below 1e-12 of its largest magnitude is constant but for rounding.
    """
    mean = train.mean(axis=0)
    sd = train.std(axis=0)
    largest = np.abs(train).max(axis=0)
    tiny = (largest > 0) & (largest < _SQUARES_VANISH)
    if tiny.any():
        exponent = np.frexp(largest[tiny])[1]
        sd[tiny] = np.ldexp(np.ldexp(train[:, tiny], -exponent).std(axis=0), exponent)
    return Scaling(mean, np.where(sd > 1e-12 * largest, sd, 0.0))


def robust_scaling(train: Floats) -> Scaling:
    """Scaling to median 0 and distance 1 between the quartiles of the [n, d] training rows.

    As scikit-learn's RobustScaler. A feature more than half of whose rows are equal, so that the
    quartiles are, too, is centred alone; one that is constant but for rounding becomes 0.
    """
    constant = z_scaling(train).sd == 0
    low, median, high = np.percentile(train, (25, 50, 75), axis=0)
    spread = high - low
    # As there: a distance of rounding alone is none.
    spread = np.where(spread < 10 * np.finfo(np.float64).eps, 1.0, spread)
    return Scaling(median, np.where(constant, 0.0, spread))


def no_scaling(train: Floats) -> Scaling:
    """Features as they are."""
    return Scaling(np.zeros(train.shape[1]), np.ones(train.shape[1]))


SCALINGS = {"standard": z_scaling, "robust": robust_scaling, "none": no_scaling}
"""The ways to scale a user's own features, by name."""
