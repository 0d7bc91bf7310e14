"""The columns of the trial table: names, types, units, meanings."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of the trial table; ``pattern`` is a regular expression where names vary.

    ``kind`` is a type of Arrow; columns of any other kind have the type of their values.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    pattern: str | None = None

    def describes(self, name: str) -> bool:
        """Whether this entry documents the column ``name``."""
        return name == self.name if self.pattern is None else bool(re.fullmatch(self.pattern, name))


_SPLITS = "(validation|test|population)"
OWN_METRIC = "<metric>_<split>"
COLUMNS: tuple[Column, ...] = (
    Column("key", "string", "", "name of the trial, made from all that its numbers depend on"),
    Column("study", "string", "", "name of the study"),
    Column("cell", "string", "", "data characteristics x model scale; equal content, equal id"),
    Column("draw", "int64", "", "which draw of the dataset"),
    Column("seed", "int64", "", "initial weights and batch order; equal seeds pair the arms"),
    Column("strength", "float64", "", "regularization strength: weight of the alignment loss"),
    Column("arm", "string", "none, forced, placebo", "placebo: the loss sees shuffled pairs"),
    Column(
        "stage",
        "string",
        "search, confirm; tune, measure",
        "of a forcing study (only confirm rows are tested); of an emergence study",
    ),
    Column("status", "string", "ok, diverged", "diverged: a NaN or infinity in training"),
    Column("reason", "string", "", "why a trial is not ok; empty otherwise"),
    Column(
        "chosen_by",
        "string",
        "alignment, performance",
        "confirm: criterion that chose the strength; joined by + where both chose it",
    ),
    Column("generation", "int64", "", "generation of the search; -1 for strength 0 and confirm"),
    Column("number", "int64", "", "number of the proposal in its cell; -1 as above"),
    Column("modality", "int64", "1, 2", "tune: whose encoder is trained; 0: both"),
    Column("objective", "string", "alignment, performance, both", "what the search maximized"),
    Column("data", "string", "", "dataset"),
    Column("R", "int64", "features", "redundant task features: shared by all modalities"),
    Column("U", "int64", "features", "unique task features: seen by one modality only"),
    Column("U1", "int64", "features", "unique task features of modality 1"),
    Column("U2", "int64", "features", "unique task features of modality 2"),
    Column("U3", "int64", "features", "unique task features of modality 3; empty without"),
    Column("U4", "int64", "features", "unique task features of modality 4; empty without"),
    Column(
        "modalities",
        "int64",
        "2, 3, 4",
        "modalities of the data; empty where the study does not say: two",
    ),
    Column("D_phi", "int64", "layers", "heterogeneity depth"),
    Column("file", "string", "", "the user's own data: name of the file"),
    Column("n_train", "int64", "rows", "training rows"),
    Column("n_validation", "int64", "rows", "validation rows"),
    Column("n_test", "int64", "rows", "test rows"),
    Column("classes", "int64", "", "number of classes"),
    Column("I1", "float64", "nats", "I(X1;Y), exact"),
    Column("I2", "float64", "nats", "I(X2;Y), exact"),
    Column("I3", "float64", "nats", "I(X3;Y), exact; empty without modality 3"),
    Column("I4", "float64", "nats", "I(X4;Y), exact; empty without modality 4"),
    Column("I12", "float64", "nats", "I(X1,X2;Y), exact; of modalities 1 and 2 alone"),
    Column(
        "I_all",
        "float64",
        "nats",
        "I(all modalities;Y), exact; I12 of two; empty without `modalities`",
    ),
    Column("I_shared", "float64", "nats", "information of the shared features about Y, exact"),
    Column("I_X1X2", "float64", "nats", "I(X1;X2), exact"),
    Column(
        "pid_R",
        "float64",
        "nats",
        "redundancy (BROJA); this decomposition is of modalities 1 and 2, however many there are",
    ),
    Column("pid_U1", "float64", "nats", "uniqueness of modality 1 (BROJA)"),
    Column("pid_U2", "float64", "nats", "uniqueness of modality 2 (BROJA)"),
    Column("pid_S", "float64", "nats", "synergy (BROJA)"),
    Column("bayes_1", "float64", "0..1", "accuracy of the Bayes classifier on modality 1"),
    Column("bayes_2", "float64", "0..1", "accuracy of the Bayes classifier on modality 2"),
    Column("bayes_3", "float64", "0..1", "accuracy of the Bayes classifier on modality 3"),
    Column("bayes_4", "float64", "0..1", "accuracy of the Bayes classifier on modality 4"),
    Column("bayes_fused", "float64", "0..1", "accuracy of the Bayes classifier on all modalities"),
    Column(
        "<information>_estimated",
        "float64",
        "nats or 0..1",
        "an information column where the distribution is unknown: estimated from the rows, with "
        "measured errors: I1, I2, I12 low by up to a third, the parts off by up to half or a "
        "quarter nat",
        r"(I1|I2|I12|pid_R|pid_U1|pid_U2|pid_S|bayes_1|bayes_2|bayes_fused)_estimated",
    ),
    Column("encoder", "string", "", "architecture of the encoders"),
    Column(
        "encoder_option_<name>",
        "as the option",
        "",
        "option of the user's own encoder",
        r"encoder_option_\w+",
    ),
    Column("depth_1", "int64", "layers", "hidden layers of encoder 1"),
    Column("depth_2", "int64", "layers", "hidden layers of encoder 2 and of every further one"),
    Column("width_1", "int64", "units", "width of encoder 1"),
    Column("width_2", "int64", "units", "width of encoder 2 and of every further one"),
    Column("parameters", "int64", "", "trained numbers: all encoders and their heads"),
    Column("loss", "string", "", "alignment loss"),
    Column(
        "alignment_layer",
        "string",
        "last, 1, 2, ...",
        "hidden layer of both encoders that the loss compares; last: the representation",
    ),
    Column(
        "option_<name>",
        "as the option",
        "",
        "option of the loss, fixed by the study or proposed by the search; empty at strength 0",
        r"option_\w+",
    ),
    Column("learning_rate", "float64", "", "step size of AdamW"),
    Column("weight_decay", "float64", "", "of AdamW, decoupled"),
    Column(
        "<learning_rate|weight_decay>_<1|2>",
        "float64",
        "",
        "emergence: those of one modality's encoders",
        r"(learning_rate|weight_decay)_(1|2)",
    ),
    Column("batch_size", "int64", "rows", "rows per step"),
    Column("epochs", "int64", "", "passes over the training rows"),
    Column("best_epoch", "int64", "", "epoch of the checkpoint that was measured, from 1"),
    Column(
        "<epochs|best_epoch>_<1|2>",
        "int64",
        "",
        "emergence: passes and checkpoint of one modality's encoder",
        r"(epochs|best_epoch)_(1|2)",
    ),
    Column(
        "trained_epochs",
        "int64",
        "",
        "trial: epochs that it logged",
    ),
    Column(
        "stopped_after",
        "int64",
        "epochs",
        "trial: where a search that halves stopped it; empty of a whole one",
    ),
    Column("diverged_step", "int64", "steps", "step of the first NaN or infinity; -1 if none"),
    Column("steps", "int64", "steps", "optimizer steps taken"),
    Column(
        "unforced_steps",
        "int64",
        "steps",
        "steps in which nothing was forced: strength 0, or an alignment loss that was undefined or "
        "had no gradient on the batch",
    ),
    Column(
        "gradient_ratio", "float64", "", "gradient norm at what is aligned, alignment over task"
    ),
    Column("device", "string", "cpu, cuda", "what the pack was trained on"),
    Column("train_seconds", "float64", "s", "training time of the pack divided by its members"),
    Column(
        "alignment_<metric>_<split>",
        "float64",
        "see metric",
        "alignment of the two encoders, of more the mean over their pairs; empty where undefined "
        "(a constant layer, say)",
        rf"alignment_(?!layers_)\w+_{_SPLITS}",
    ),
    Column(
        "alignment_layers_<metric>_<split>",
        "string",
        "",
        "the pair of layers (1-based, modality 1-modality 2) that was measured; of more modalities "
        "one for each of their pairs, in the order 1-2, 1-3, ..., 2-3, ...",
        rf"alignment_layers_\w+_{_SPLITS}",
    ),
    Column(
        "pair_<a>-<b>_<metric>_<split>",
        "float64",
        "see metric",
        "alignment of modalities a and b, where there are more than two",
        rf"pair_\d-\d_\w+_{_SPLITS}",
    ),
    Column(
        "chance_<metric>_<split>",
        "float64",
        "see metric",
        "mean alignment of shuffled pairs, the best over layers taken in each shuffle too; of more "
        "modalities each is shuffled by itself",
        rf"chance_(?!p_)\w+_{_SPLITS}",
    ),
    Column(
        "corrected_<metric>_<split>",
        "float64",
        "0: chance, 1: ideal",
        "alignment above chance, as a share of what is above chance",
        rf"corrected_\w+_{_SPLITS}",
    ),
    Column(
        "chance_p_<metric>_<split>",
        "float64",
        "0..1",
        "p-value of the permutation test against shuffled pairs",
        rf"chance_p_\w+_{_SPLITS}",
    ),
    Column(
        "undefined_<split>",
        "string",
        "",
        "why a metric of alignment is undefined on the split; empty where all are defined",
        rf"undefined_{_SPLITS}",
    ),
    Column(
        "distinct_rows_<1|2|3|4>_<split>",
        "int64",
        "rows",
        "different rows, after preprocessing, of the layers that metrics of neighbours report (the "
        "fewest of several metrics): with few of them neighbours are mostly ties",
        rf"distinct_rows_(1|2|3|4)_{_SPLITS}",
    ),
    Column(
        "performance_<1|2|3|4|fused>_<split>",
        "float64",
        "0..1",
        "accuracy of a modality or of all together; population: exact expectation, of all together "
        "empty with four modalities, whose joint inputs are too many",
        rf"performance_(1|2|3|4|fused)_{_SPLITS}",
    ),
    Column(
        "loss_<1|2|3|4|fused>_<split>",
        "float64",
        "nats",
        "cross-entropy",
        rf"loss_(1|2|3|4|fused)_{_SPLITS}",
    ),
    # Last, as all others are told first.
    Column(
        OWN_METRIC,
        "float64",
        "the trial's",
        "trial: a metric that the user's own code gave; more is better, save of one whose name "
        "begins with loss_",
        r"(?!n_|alignment_|pair_|chance_|corrected_|undefined_|distinct_rows_|curve_)"
        r"(?!(performance|loss)_(1|2|3|4|fused)_)"
        r"[A-Za-z]\w*_(validation|test)",
    ),
)
REQUIRED = (
    "key",
    "study",
    "cell",
    "draw",
    "seed",
    "strength",
    "arm",
    "stage",
    "status",
)
# What a table says of time differs from run to run; everything else is reproducible.
TIMING_COLUMNS = ("train_seconds",)


def is_own_metric(name: str) -> bool:
    """Whether a column is a metric that only a user's own trial gives, such as ``f1_test``."""
    return any(c.name == OWN_METRIC and c.describes(name) for c in COLUMNS)


def columns_markdown() -> str:
    """The documented columns as a Markdown table; characteristics of datasets are not listed."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|")

    lines = ["| column | type | unit or values | meaning |", "| --- | --- | --- | --- |"]
    for column in COLUMNS:
        name = cell(column.name)
        lines.append(f"| `{name}` | {column.kind} | {cell(column.unit)} | {cell(column.meaning)} |")
    return "\n".join(lines)
