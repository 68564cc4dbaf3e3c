"""What was recorded of the oracle cases, and where fluidlite differs on purpose."""

import oracle_cases  # noqa: F401
import oracle_cases_cells  # noqa: F401
import oracle_cases_crf  # noqa: F401
import oracle_cases_dense  # noqa: F401
import oracle_cases_extra  # noqa: F401
import oracle_cases_lstm  # noqa: F401
import oracle_cases_operators  # noqa: F401
import oracle_cases_sampled  # noqa: F401
import oracle_cases_sequences  # noqa: F401
from oracle_harness import CASES, load

# Other fixtures are no pairs of a .json and a .npz.
FIXTURES = sorted({case.fixture for case in CASES.values() if case.fixture.startswith("cases")})
RECORDED = {name: entry for fixture in FIXTURES for name, entry in load(fixture).items()}
# Where fluidlite differs on purpose: (test, case) -> why.
_IN_PLACE = "the output is a variable of its own; what happens in place is the plan's business"
_LAYER_NORM = "the real Paddle's static shape of a flattened open batch is -2"
_INSTANCE_NORM = "the real Paddle's static shape of N * C statistics is -C"
_MASK = "the real Paddle describes the places of maxima as floats without a shape"
_ADAPTIVE = "the real Paddle's pool2d looks for adaptive maxima in windows of wrong widths; no layer uses it for that"
_DISTANCES = "the real Paddle describes distances as int64 (padded, of the shape of Refs), and gives float32 [n, 1]"
_PLACES = "the real Paddle describes the places of maxima as floats"
_PADDED = "the real Paddle's static shape claims that the longest sequence has one row"
_RESHAPE = "the real Paddle gives a gradient of the shape after the reshaping"
_EMPTY = "the real Paddle's gradients read beyond the rows of the first step where a sequence without rows has a state"
_EIGHTS = "the real Paddle's gradients in single precision leave cells out where there are 8 of them, or a multiple"
_PRE_OUT = "the real Paddle does not describe PreOut"
_SAMPLE_LOGITS = "the real Paddle describes LabelsDim by a type that is none of elements"
_SAMPLING_ID = "the real Paddle describes numbers of classes by the layer's dtype, and gives int64"
_INSTAG = (
    "the real Paddle describes LossWeight as float64 and IndexMap as [-1, 2], and gives the dtype of Ins and [n, 3]"
)
_SAMPLED = load("cases_sampled")
DIFFERENT = {
    **{
        ("gradients", "spectral_norm_" + name): "the real Paddle leaves the sum over the weight out of this gradient"
        for name in ("matrix", "columns", "filter", "none", "one")
    },
    **{
        (test, "npair_loss_" + name): "labels stay as they were fed; what happens in place is the plan's business"
        for test in ("structure", "gradient_structure")
        for name in ("floats", "integers", "one", "plain")
    },
    **{
        (test, name): "the real Paddle's static shape does not know the sizes that are given"
        for test in ("structure", "gradient_structure")
        for name in (
            "affine_grid_list",
            "affine_grid_low",
            "affine_grid_one_image",
            "grid_sampler_of_affine_grid",
        )
    },
    **{
        (test, name): why
        for test in ("structure", "gradient_structure")
        for start, why in (
            ("hsigmoid", _PRE_OUT),
            ("sampled_softmax", _SAMPLE_LOGITS),
            ("sampling_id_plain", _SAMPLING_ID),
            ("sampling_id_beyond", _SAMPLING_ID),
            ("filter_by_instag", _INSTAG),
        )
        for name in _SAMPLED
        if name.startswith(start)
    },
    ("values", "batch_norm_in_place"): _IN_PLACE,
    ("structure", "batch_norm_in_place"): _IN_PLACE,
    ("gradients", "batch_norm_in_place"): _IN_PLACE,
    ("gradient_structure", "batch_norm_in_place"): _IN_PLACE,
    ("structure", "layer_norm_axis_2"): _LAYER_NORM,
    ("gradient_structure", "layer_norm_axis_2"): _LAYER_NORM,
    ("gradients", "reshape_inplace"): _RESHAPE,
    ("gradient_structure", "reshape_inplace"): _RESHAPE,
    **{
        ("structure", "edit_distance_" + name): _DISTANCES
        for name in ("normed", "counted", "one", "ignoring", "padded_normed", "padded_counted")
    },
    ("structure", "expand_as"): "the real Paddle's static shape is [0, 0]",
    ("structure", "uniform_random_from_variables"): "the real Paddle's static shape forgets the sizes it knows",
    ("structure", "topk_variable"): "the real Paddle's static shape claims k = 1",
    ("gradients", "group_norm"): "the real Paddle forgets a term of this gradient if there is no Bias",
    ("structure", "instance_norm"): _INSTANCE_NORM,
    ("gradient_structure", "instance_norm"): _INSTANCE_NORM,
    **{
        (test, name): _MASK
        for test in ("structure", "gradient_structure")
        for name in (
            "adaptive_pool2d_max",
            "adaptive_pool3d_max_even",
            "adaptive_pool3d_max_uneven",
            "adaptive_pool3d_max_one",
            "adaptive_pool3d_max_index",
            "adaptive_pool_even_max",
            "adaptive_pool_index",
            "between_convolutions_uneven_max",
            "max_pool2d_with_index_overlapping",
            "max_pool2d_with_index_apart",
            "max_pool2d_with_index_global",
        )
    },
    **{
        (test, "sequence_pool_" + name): _PLACES
        for test in ("structure", "gradient_structure")
        for name in (
            "max_several",
            "max_long",
            "max_some_empty",
            "max_batch_of_one",
            "max_one_row",
            "max_two_levels",
            "max_two_levels_empty",
            "max_padded",
        )
    },
    ("structure", "sequence_pool_is_test"): _PLACES,
    ("structure", "sequence_pool_for_test"): _PLACES,
    ("structure", "sequence_conv_pool_max"): _PLACES,
    ("gradient_structure", "sequence_conv_pool_max"): _PLACES,
    **{
        (test, "sequence_" + name): _PADDED
        for test in ("structure", "gradient_structure")
        for name in ("pad_several", "pad_some_empty", "pad_batch_of_one", "pad_one_row", "pad_by_row", "unpad_of_pad")
    },
    ("structure", "sequence_pad_ids"): _PADDED,
    ("gradients", "sequence_conv_behind"): "the real Paddle sees rows beyond short sequences in the filter's gradient",
    ("values", "adaptive_pool_operator_max"): _ADAPTIVE,
    ("gradients", "adaptive_pool_operator_max"): _ADAPTIVE,
    ("gradients", "shuffled_channel"): "the real Paddle shuffles this gradient once more, not back",
    ("gradients", "lstm_states_with_empty"): _EMPTY,
    ("gradients", "lstmp_states_with_empty"): _EMPTY,
    ("gradients", "lstm_eights"): _EIGHTS,
    ("gradients", "lstmp_eights"): _EIGHTS,
    ("gradients", "softmax_with_cross_entropy_3d_ignore"): "the real Paddle forgets ignore_index in this gradient",
}


def only(arrays, *kinds):
    return {key: value for key, value in arrays.items() if key.startswith(kinds)}
