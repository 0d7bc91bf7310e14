"""What columns the trial table has: names, types, units, meanings."""

from raysweep.trials.column import Column, Role, columns
from raysweep.trials.outcome_families import (
    ALL_FAMILIES,
    UNITS,
)

COLUMNS: tuple[Column, ...] = (
    *columns(
        Role.IDENTITY,
        ("key", "string", "", "name of the trial, made from all that its numbers depend on"),
        ("study", "string", "", "name of the study"),
        ("cell", "string", "", "data characteristics x model scale; equal content, equal id"),
        ("draw", "int64", "", "which draw of the dataset"),
        ("seed", "int64", "", "initial weights and batch order; equal seeds pair the arms"),
        ("strength", "float64", "", "regularization strength: weight of the alignment loss"),
        ("arm", "string", "none, forced, placebo", "placebo: the loss sees shuffled pairs"),
        (
            "stage",
            "string",
            "tune, search, confirm; measure",
            "tune: how to train was searched; search: the strength was; confirm: the rows that are "
            "tested; measure: of an emergence study, or of models",
        ),
    ),
    *columns(
        Role.COURSE,
        ("status", "string", "ok, diverged", "diverged: a NaN or infinity in training"),
        ("reason", "string", "", "why a trial is not ok; empty otherwise"),
    ),
    *columns(
        Role.IDENTITY,
        (
            "chosen_by",
            "string",
            "alignment, performance, best",
            "confirm: criterion that chose the strength, best: with a training of its own; joined "
            "by + where several chose the same",
        ),
        ("generation", "int64", "", "generation of the search; -1 for strength 0 and confirm"),
        ("number", "int64", "", "number of the proposal in its cell; -1 as above"),
        ("modality", "int64", "1, 2", "tune: whose encoder is trained; 0: both"),
        ("layer_<1|2>", "int64", "", "models: the layer that a row is about, where each has one"),
        ("objective", "string", "alignment, performance, both", "what the search maximized"),
    ),
    *columns(
        Role.CHARACTERISTIC,
        ("data", "string", "", "dataset"),
        ("R", "int64", "features", "redundant task features: shared by all modalities"),
        ("U", "int64", "features", "unique task features: seen by one modality only"),
        ("U1", "int64", "features", "unique task features of modality 1"),
        ("U2", "int64", "features", "unique task features of modality 2"),
        ("U3", "int64", "features", "unique task features of modality 3; empty without"),
        ("U4", "int64", "features", "unique task features of modality 4; empty without"),
        (
            "modalities",
            "int64",
            "2, 3, 4",
            "modalities of the data; empty where the study does not say: two",
        ),
        ("D_phi", "int64", "layers", "heterogeneity depth"),
        (
            "file",
            "string",
            "",
            "the user's own data: name of the file, with folders where several are called alike",
        ),
        ("target", "string", "", "the user's own data: what the label is, where a study says it"),
        (
            "resplit",
            "string",
            "crossed",
            "the user's own data without a split of its own: draws are splits of the same rows, "
            "and share them; empty of other data",
        ),
        ("side_<1|2>", "string", "", "models: the side of the first or second model of the pair"),
        ("model_<1|2>", "string", "", "models: its name"),
        ("family_<1|2>", "string", "", "models: its family, where a study says it"),
        ("features_<1|2>", "string", "", "models: the file of its features"),
        ("n_train", "int64", "rows", "training rows"),
        ("n_validation", "int64", "rows", "validation rows"),
        ("n_test", "int64", "rows", "test rows; models: all rows of the features"),
        ("classes", "int64", "", "number of classes; empty of a label that is a number"),
        ("task", "string", "regression", "what the label is; empty where a study leaves it out"),
        (
            "<characteristic>",
            "as given",
            "",
            "any other characteristic of the dataset",
        ),
    ),
    *columns(
        Role.INFORMATION,
        ("I1", "float64", "nats", "I(X1;Y), exact"),
        ("I2", "float64", "nats", "I(X2;Y), exact"),
        ("I3", "float64", "nats", "I(X3;Y), exact; empty without modality 3"),
        ("I4", "float64", "nats", "I(X4;Y), exact; empty without modality 4"),
        ("I12", "float64", "nats", "I(X1,X2;Y), exact; of modalities 1 and 2 alone"),
        (
            "I_all",
            "float64",
            "nats",
            "I(all modalities;Y), exact; I12 of two; empty without `modalities`",
        ),
        ("I_shared", "float64", "nats", "information of the shared features about Y, exact"),
        ("I_X1X2", "float64", "nats", "I(X1;X2), exact"),
        (
            "pid_R",
            "float64",
            "nats",
            "redundancy (BROJA); this decomposition is of modalities 1 and 2, however many there "
            "are",
        ),
        ("pid_U1", "float64", "nats", "uniqueness of modality 1 (BROJA)"),
        ("pid_U2", "float64", "nats", "uniqueness of modality 2 (BROJA)"),
        ("pid_S", "float64", "nats", "synergy (BROJA)"),
        ("bayes_1", "float64", "0..1", "accuracy of the Bayes classifier on modality 1"),
        ("bayes_2", "float64", "0..1", "accuracy of the Bayes classifier on modality 2"),
        ("bayes_3", "float64", "0..1", "accuracy of the Bayes classifier on modality 3"),
        ("bayes_4", "float64", "0..1", "accuracy of the Bayes classifier on modality 4"),
        ("bayes_fused", "float64", "0..1", "accuracy of the Bayes classifier on all modalities"),
        (
            "<information>_estimated",
            "float64",
            "nats or 0..1",
            "an information column where the distribution is unknown: estimated from the rows, "
            "too low rather than too high, by what rows and features let be found (estimated "
            "information, in tests/benchmarks/README.md)",
        ),
    ),
    *columns(
        Role.INTERVAL,
        (
            "<information>_estimated_low",
            "float64",
            "nats",
            "lower end of a 95 % interval of what the same estimate finds of other rows, 0 or more",
        ),
        ("<information>_estimated_high", "float64", "nats", "its upper end: the truth may be more"),
    ),
    *columns(
        Role.SCALE,
        ("encoder", "string", "", "architecture of the encoders"),
        ("encoder_option_<name>", "as the option", "", "option of the encoder, where given"),
        ("depth_1", "int64", "layers", "hidden layers of encoder 1"),
        ("depth_2", "int64", "layers", "hidden layers of encoder 2 and of every further one"),
        ("width_1", "int64", "units", "width of encoder 1"),
        ("width_2", "int64", "units", "width of encoder 2 and of every further one"),
        ("parameters", "int64", "", "trained numbers: all encoders and their heads"),
        ("size_<1|2>", "float64", "as given", "models: its size, where a study says it"),
        ("layers_<1|2>", "int64", "", "models: how many layers its features have"),
    ),
    *columns(
        Role.SETTING,
        ("loss", "string", "", "alignment loss"),
    ),
    *columns(
        Role.CHOICE,
        (
            "alignment_layer",
            "string",
            "last, 1, 2, ...",
            "hidden layer of both encoders that the loss compares; last: the representation",
        ),
        (
            "option_<name>",
            "as the option",
            "",
            "option of the loss, fixed by the study or proposed by the search; empty at strength 0",
        ),
        (
            "training_<name>",
            "as the setting",
            "",
            "setting of a training of the user's own, as a search of it proposed or chose it",
        ),
    ),
    *columns(
        Role.RATE,
        ("learning_rate", "float64", "", "step size of AdamW"),
        ("weight_decay", "float64", "", "of AdamW, decoupled"),
        ("fusion", "string", "probe, joint", "whether the fused head trains the encoders"),
    ),
    *columns(
        Role.CHOICE,
        ("learning_rate_<1|2>", "float64", "", "emergence: that of one modality's encoders"),
        ("weight_decay_<1|2>", "float64", "", "emergence: that of one modality's encoders"),
    ),
    *columns(
        Role.SETTING,
        ("batch_size", "int64", "rows", "rows per step"),
    ),
    *columns(
        Role.RATE,
        ("epochs", "int64", "", "passes over the training rows"),
    ),
    *columns(
        Role.COURSE,
        (
            "best_epoch",
            "int64",
            "",
            "epoch of the checkpoint that was measured, from 1: the best of the fused head on "
            "validation",
        ),
    ),
    *columns(
        Role.SETTING,
        ("epochs_<1|2>", "int64", "", "emergence: passes of one modality's encoder"),
    ),
    *columns(
        Role.COURSE,
        (
            "best_epoch_<1|2|3|4>",
            "int64",
            "",
            "the same of one modality's own head, at which its accuracy and loss are read",
        ),
        ("trained_epochs", "int64", "", "trial: epochs that it logged"),
        (
            "stopped_after",
            "int64",
            "epochs",
            "trial: where a search that halves stopped it; empty of a whole one",
        ),
        ("diverged_step", "int64", "steps", "step of the first NaN or infinity; -1 if none"),
        ("steps", "int64", "steps", "optimizer steps taken"),
        (
            "unforced_steps",
            "int64",
            "steps",
            "steps in which nothing was forced: strength 0, or an alignment loss that was "
            "undefined or had no gradient on the batch",
        ),
        ("gradient_ratio", "float64", "", "gradient norm at what is aligned, alignment over task"),
    ),
    *columns(
        Role.SETTING,
        ("device", "string", "cpu, cuda", "what the pack was trained on"),
    ),
    *columns(
        Role.TIMING,
        ("train_seconds", "float64", "s", "training time of the pack divided by its members"),
    ),
    *columns(
        Role.OUTCOME,
        (
            "alignment_<metric>_<split>",
            "float64",
            "see metric",
            "alignment of the two encoders, of more the mean over their pairs; empty where "
            "undefined (a constant layer, say)",
        ),
        (
            "alignment_layers_<metric>_<split>",
            "string",
            "",
            "the pair of layers (1-based, modality 1-modality 2) that was measured; of more "
            "modalities one for each of their pairs, in the order 1-2, 1-3, ..., 2-3, ...; models: "
            "counted from 0, which is the embedding, all: all layers side by side",
        ),
        (
            "layer_map_<metric>_<split>",
            "list",
            "see metric",
            "models: alignment of every pair of layers, those of the second model fastest",
        ),
        (
            "pair_<a>-<b>_<metric>_<split>",
            "float64",
            "see metric",
            "alignment of modalities a and b, where there are more than two",
        ),
        (
            "chance_<metric>_<split>",
            "float64",
            "see metric",
            "mean alignment of shuffled pairs, the best over layers taken in each shuffle too; of "
            "more modalities each is shuffled by itself",
        ),
        (
            "chance_high_<metric>_<split>",
            "float64",
            "see metric",
            "models: what 95 % of the shuffles stay below",
        ),
        (
            "corrected_<metric>_<split>",
            "float64",
            "0: chance, 1: ideal",
            "alignment above chance, as a share of what is above chance",
        ),
        (
            "chance_p_<metric>_<split>",
            "float64",
            "0..1",
            "p-value of the permutation test against shuffled pairs",
        ),
        (
            "undefined_<split>",
            "string",
            "",
            "why a metric of alignment, its chance or an outcome is undefined on the split; empty "
            "where all are defined",
        ),
        (
            "distinct_rows_<1|2|3|4>_<split>",
            "int64",
            "rows",
            "different rows, after preprocessing, of the layers that metrics of neighbours report "
            "(the fewest of several metrics): with few of them neighbours are mostly ties",
        ),
        (
            "performance_<1|2|3|4|fused>_<split>",
            "float64",
            "0..1",
            "accuracy of a modality or of all together; population: exact expectation, of all "
            "together empty with four modalities, whose joint inputs are too many",
        ),
        ("loss_<1|2|3|4|fused>_<split>", "float64", "nats", "cross-entropy"),
        (
            "model_performance_<1|2>",
            "float64",
            "as given",
            "models: performance that the study gives of a model; more is better",
        ),
        *(
            (f"{name}_<1|2|3|4|fused>_<split>", "float64", UNITS.get(name, "0..1"), meaning)
            for name, meaning in ALL_FAMILIES.items()
        ),
    ),
)


def columns_markdown() -> str:
    """The documented columns as a Markdown table."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|")

    lines = ["| column | type | unit or values | meaning |", "| --- | --- | --- | --- |"]
    for column in COLUMNS:
        name = cell(column.name)
        lines.append(f"| `{name}` | {column.kind} | {cell(column.unit)} | {cell(column.meaning)} |")
    return "\n".join(lines)
