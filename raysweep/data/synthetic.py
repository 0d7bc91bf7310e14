"""The paper's generator: two views of 16 random bits, a label of eight of them, exactly known.

Source: Understanding the Emergence of Multimodal Representation Alignment (arXiv 2502.16282).
Eight shared, four unique and four unique bits, all independent and uniform: x1 = [shared,
unique 1], x2 = [shared, unique 2], and a random network of depth D_phi distorts modality 2. The
label depends on eight bits: U unique ones (floor(U / 2) of modality 1, the others of modality 2)
and 8 - U shared ones.

Draw 0 has the published label weights, task bits and networks; its rows are our own. As in the
paper, rows are drawn with replacement and the splits have the same class proportions: here each
split has the proportions of the population, rounded, so that more training rows change no test row.
"""

from math import log

import numpy as np

from raysweep.data.information import exact_information
from raysweep.data.label_model import (
    SHARED_BITS,
    TASK_BITS,
    UNIQUE_BITS,
    LabelModel,
    all_bits,
    label_model,
)
from raysweep.data.parameters import Parameter, split_sizes
from raysweep.data.stratify import class_counts
from raysweep.data.streams import stream
from raysweep.data.transforms import apply_network, random_network
from raysweep.data.views import Floats, Integers, PairedViews, Population, Splits, z_scaling

PARAMETERS = (
    Parameter(
        "U", "int", "task bits unique to a modality; 8 - U are shared", required=True, low=0, high=8
    ),
    Parameter("D_phi", "int", "tanh layers that distort modality 2", 1, low=0, high=64),
    Parameter("temperature", "float", "of the label's softmax", 0.05, low=1e-3, high=1e3),
    Parameter(
        "prior_tolerance",
        "float",
        "distance of the class prior from uniform at which rescaling stops (0: exact)",
        0.01,
        low=0,
        high=1,
    ),
    *split_sizes(45_875, 9_830, 9_831),
)


def joint_inputs(model: LabelModel) -> tuple[Integers, Integers, Floats]:
    """Rows of x1 and of x2 (both of 4,096) and p(label | bits) of the 65,536 joint inputs."""
    shared, only_1, only_2 = np.meshgrid(
        np.arange(2**SHARED_BITS),
        np.arange(2**UNIQUE_BITS),
        np.arange(2**UNIQUE_BITS),
        indexing="ij",
    )
    pair_1 = (shared * 2**UNIQUE_BITS + only_1).reshape(-1)
    pair_2 = (shared * 2**UNIQUE_BITS + only_2).reshape(-1)
    bits = [
        *((shared >> (SHARED_BITS - 1 - position)) & 1 for position in model.shared),
        *((only_1 >> (UNIQUE_BITS - 1 - position)) & 1 for position in model.unique_1),
        *((only_2 >> (UNIQUE_BITS - 1 - position)) & 1 for position in model.unique_2),
    ]
    conditional = model.table[tuple(bits)].reshape(len(pair_1), -1)
    return pair_1, pair_2, conditional


def _draw_rows(
    conditional: Floats, weight: Floats, rows: int, split: str, draw: int
) -> tuple[Integers, Integers]:
    """Joint inputs and labels of one split; a class's first rows are the same for any count."""
    joint = conditional * weight[:, None]
    picked, labels = [], []
    for label, count in enumerate(class_counts(joint.sum(axis=0), rows)):
        cumulative = np.cumsum(joint[:, label])
        uniforms = stream("synthetic", draw, f"rows/{split}/{label}").random(count)
        picked.append(np.searchsorted(cumulative, uniforms * cumulative[-1], side="right"))
        labels.append(np.full(count, label, dtype=np.int64))
    order = stream("synthetic", draw, f"order/{split}").permutation(rows)
    return np.concatenate(picked)[order], np.concatenate(labels)[order]


def synthetic(
    *,
    U: int,
    D_phi: int = 1,
    temperature: float = 0.05,
    prior_tolerance: float = 0.01,
    train: int = 45_875,
    validation: int = 9_830,
    test: int = 9_831,
    draw: int = 0,
) -> PairedViews:
    """One draw of the generator; the arguments are in PARAMETERS, checked by ``registry.load``."""
    unique_1 = U // 2
    unique_2 = U - unique_1
    model = label_model(unique_1, unique_2, temperature, prior_tolerance, draw)
    pair_1, pair_2, conditional = joint_inputs(model)
    weight = np.full(len(pair_1), 1.0 / len(pair_1))

    features = SHARED_BITS + UNIQUE_BITS
    inputs_1 = all_bits(features)
    inputs_2 = apply_network(random_network(features, D_phi, draw), inputs_1)

    sizes = {"train": train, "validation": validation, "test": test}
    drawn = [_draw_rows(conditional, weight, rows, split, draw) for split, rows in sizes.items()]
    joint_index = np.concatenate([index for index, _ in drawn])
    splits = Splits(*np.split(np.arange(len(joint_index)), [train, train + validation]))
    row_1, row_2 = pair_1[joint_index], pair_2[joint_index]
    inputs_1 = z_scaling(inputs_1[row_1[splits.train]])(inputs_1)
    inputs_2 = z_scaling(inputs_2[row_2[splits.train]])(inputs_2)
    return PairedViews(
        x1=inputs_1[row_1],
        x2=inputs_2[row_2],
        y=np.concatenate([labels for _, labels in drawn]),
        classes=conditional.shape[1],
        splits=splits,
        characteristics={
            "R": TASK_BITS - U,
            "U": U,
            "D_phi": D_phi,
            "temperature": temperature,
        },
        information=exact_information(model, information_x1x2=SHARED_BITS * log(2)),
        population=Population(inputs_1, inputs_2, pair_1, pair_2, weight, conditional),
    )
