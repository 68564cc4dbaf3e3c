"""Losses over many classes that look at a few of them, drawn at random, and drawing classes."""

import math

import numpy as np

from ..core.attributes import ignored
from ..core.errors import EnforceNotMet
from ..core.operators import operator
from ..core.selected_rows import SelectedRows
from ..core.spec import EMPTY, GRAD, Spec
from ..core.traits import BOUND, Kernel, Lod
from .arrays.indexing import add_at, index_check, take
from .arrays.rows import add_rows

_DRAWS = Kernel(bind=True, random=True)
_INT64 = np.dtype("int64")
_NO_LOD = Lod(of="none")

# What Fluid takes from the logit of a class that was drawn although it is a right one, and its largest logarithm.
_NEVER = 1e20

# Of tables that are spread over servers; there being none, nothing is fetched from them.
TABLE_ATTRS = {
    "remote_prefetch": ignored(False),
    "trainer_id": ignored(0),
    "height_sections": ignored([], "LONGS"),
    "epmap": ignored([], "STRINGS"),
    "table_names": ignored([], "STRINGS"),
}


class Uniform:
    """Every class is as likely as any other."""

    def __init__(self, classes):
        self.classes = classes

    def draw(self, generator, shape):
        return generator.integers(0, self.classes, shape)

    def probability(self, xp, samples):
        return xp.full(samples.shape, 1 / self.classes)


class LogUniform:
    """The first classes, which are to be the most frequent ones, are the most likely: of n + 1, k is it with
    log((k + 2) / (k + 1)) / log(n + 1), as Fluid has it.
    """

    def __init__(self, largest):
        self.range, self.log = largest, math.log(largest + 1)

    def draw(self, generator, shape):
        return (np.exp(generator.random(shape) * self.log).astype(np.int64) - 1) % self.range

    def probability(self, xp, samples):
        return xp.log((samples + 2.0) / (samples + 1.0)) / self.log


class Custom:
    """Classes as likely as a table says; they are drawn with Walker's alias method.

    Args:
        probabilities, aliases, alias_probabilities: arrays [classes].
    """

    def __init__(self, probabilities, aliases, alias_probabilities):
        self.probabilities, self.aliases, self.alias_probabilities = probabilities, aliases, alias_probabilities

    def draw(self, generator, shape):
        aliases, chances = (
            one if isinstance(one, np.ndarray) else one.get() for one in (self.aliases, self.alias_probabilities)
        )
        found = generator.integers(0, len(aliases), shape)
        return np.where(generator.random(shape) < chances[found], found, aliases[found])

    def probability(self, xp, samples):
        return xp.take(self.probabilities, samples).astype(np.float64)


def sampler_of(attrs, tables):
    """How `nce` draws: a Uniform, LogUniform or Custom."""
    classes = attrs["num_total_classes"]
    if attrs["sampler"] == 0:
        return Uniform(classes)
    return LogUniform(classes - 1) if attrs["sampler"] == 1 else Custom(*tables)


def infer_nce(attrs, input, label, weight, bias, *others):
    classes = attrs["num_total_classes"]
    if len(label.shape) != 2:
        raise EnforceNotMet(f"Label must have 2 dimensions, got the shape {list(label.shape)}")
    if weight.shape[0] != classes or bias is not None and bias.shape[0] != classes:
        raise EnforceNotMet(f"Weight and Bias must have num_total_classes ({classes}) rows, got {list(weight.shape)}")
    if label.shape[0] != input.shape[0] and -1 not in (label.shape[0], input.shape[0]):
        raise EnforceNotMet(
            f"Input and Label must have equally many rows, got the shapes {list(input.shape)} and {list(label.shape)}"
        )
    if attrs["sampler"] not in (0, 1, 2):
        raise EnforceNotMet(f"sampler must be 0 (uniform), 1 (log_uniform) or 2 (custom), got {attrs['sampler']}")
    if attrs["sampler"] == 2 and None in others[1:]:
        raise EnforceNotMet("the custom sampler (2) needs CustomDistProbs, CustomDistAlias and CustomDistAliasProbs")
    custom = len(attrs["custom_neg_classes"])
    if custom and custom != attrs["num_neg_samples"]:
        raise EnforceNotMet(
            f"custom_neg_classes must be num_neg_samples ({attrs['num_neg_samples']}) classes, got {custom}"
        )
    samples = label.shape[0], label.shape[1] + attrs["num_neg_samples"]
    return Spec((input.shape[0], 1), input.dtype), Spec(samples, input.dtype), Spec(samples, _INT64)


class _Nce:
    """What noise contrastive estimation and its gradient have in common.

    Args:
        samples: [rows, classes for each], the right ones first.
        true: how many are right ones.
        weights: SampleWeight or None.
    """

    def __init__(self, ctx, samples, true, weights, tables):
        self.xp, self.samples, self.true = ctx.xp, samples, true
        self.weights = None if weights is None else weights.reshape(-1, 1)
        self.sampler, self.count = sampler_of(ctx.attrs, tables), ctx.attrs["num_neg_samples"]

    def noise(self, dtype):
        """How often the noise gives each class, among so many samples."""
        return (self.sampler.probability(self.xp, self.samples) * self.count).astype(dtype)

    def cost(self, chances, out):
        """Out is the sum of -log P(right) and -log P(noise), of sigmoids `chances`."""
        xp, noise = self.xp, self.noise(chances.dtype)
        both = chances + noise
        terms = -xp.log(xp.concatenate([chances[:, : self.true], noise[:, self.true :]], axis=1) / both)
        xp.sum(terms if self.weights is None else terms * self.weights, axis=1, keepdims=True, out=out)

    def slope(self, chances, dcost):
        """The gradient by the logits."""
        noise = self.noise(chances.dtype)
        both = chances + noise
        found = chances * (1 - chances) / both
        found[:, : self.true] = (noise * (chances - 1) / both)[:, : self.true]
        found *= dcost
        return found if self.weights is None else found * self.weights


@operator(
    "nce",
    inputs="Input, Label!, Weight, Bias?, SampleWeight?!, CustomDistProbs?!, CustomDistAlias?!, CustomDistAliasProbs?!",
    outputs="Cost, SampleLogits!, SampleLabels!",
    attributes={
        "num_total_classes": 0,
        "num_neg_samples": 10,
        "sampler": 0,
        "seed": 0,
        "is_sparse": False,
        "custom_neg_classes": [],
        **TABLE_ATTRS,
    },
    infer=infer_nce,
    kernel=_DRAWS,
    lod=_NO_LOD,
)
def nce(ctx, input, label, weight, bias, sample_weight, *arrays):
    """Tells the right classes from some that are drawn for each row, by the logits that a linear layer gives them."""
    xp, attrs = ctx.xp, ctx.attrs
    tables, (cost, chances, samples) = arrays[:3], arrays[3:]
    true, custom = label.shape[1], attrs["custom_neg_classes"]
    check = index_check(ctx, samples, len(weight), "class")
    vectors = ctx.scratch((*samples.shape, weight.shape[1]), weight.dtype)
    losses = _Nce(ctx, samples, true, sample_weight, tables)
    drawn, zero = samples[:, true:], chances.dtype.type(0)

    def step():
        xp.copyto(samples[:, :true], label)
        if custom:
            drawn[...] = xp.asarray(custom)
        else:
            drawn[...] = xp.asarray(losses.sampler.draw(ctx.generator(attrs["seed"]), drawn.shape))
        check()
        take(xp, weight, samples, 0, vectors)
        xp.matmul(vectors, input[:, :, None], out=chances[:, :, None])
        if bias is not None:
            xp.add(chances, xp.take(bias.reshape(-1), samples), out=chances)
        # The sigmoid, exact also where it is tiny: exp(-log(1 + exp(-z))).
        xp.negative(chances, out=chances)
        xp.logaddexp(chances, zero, out=chances)
        xp.negative(chances, out=chances)
        xp.exp(chances, out=chances)
        losses.cost(chances, cost)

    return step


_NCE_READS = (
    "Input, Label, Weight, Bias, SampleLogits, SampleLabels, SampleWeight, "
    "CustomDistProbs, CustomDistAlias, CustomDistAliasProbs"
)


def _nce_slopes(ctx, input, label, weight, bias, chances, samples, sample_weight, tables, dcost, vectors, results):
    """A function that finds, of the gradients, `results` (dInput and dBias, or None), and the `vectors` of dWeight."""
    xp, (dinput, dbias) = ctx.xp, results
    losses = _Nce(ctx, samples, label.shape[1], sample_weight, tables)

    def step():
        slope = losses.slope(chances, dcost)
        if dinput is not None:
            take(xp, weight, samples, 0, vectors)
            xp.matmul(slope[:, None, :], vectors, out=dinput[:, None, :])
        if dbias is not None:
            dbias.fill(0)
            add_at(xp, dbias.reshape(-1), samples.reshape(-1), slope.reshape(-1))
        xp.multiply(slope[:, :, None], input[:, None, :], out=vectors)

    return step


def nce_grad(ctx, *arrays):
    read, tables, (dcost, dinput, dweight, dbias) = arrays[:7], arrays[7:10], arrays[10:]
    weight, samples = read[2], read[5]
    vectors = ctx.scratch((*samples.shape, weight.shape[1]), weight.dtype)
    find = _nce_slopes(ctx, *read, tables, dcost, vectors, (dinput, dbias))

    def step():
        find()
        if dweight is not None:
            dweight.fill(0)
            add_rows(ctx.xp, dweight, samples.reshape(-1), vectors.reshape(-1, weight.shape[1]))

    return step


def infer_nce_grad(attrs, input, label, weight, bias, *others):
    return input, weight, bias


_nce_slope = nce.gradient(_NCE_READS, of="Cost", infer=infer_nce_grad, kernel=BOUND, lod=Lod(of="none"))(nce_grad)


def infer_nce_rows(attrs, input, label, weight, bias, chances, samples, *others):
    return Spec((*samples.shape, weight.shape[1]), weight.dtype), input, bias


def nce_rows(ctx, *arrays):
    read, tables, (dcost, vectors, *results) = arrays[:7], arrays[7:10], arrays[10:]
    return _nce_slopes(ctx, *read, tables, dcost, vectors, results)


def sparse_slope(definition, weight, rows, infer, kernel):
    """Declare the form of a gradient with `is_sparse`, in which that of a table is selected rows.

    Args:
        definition (OperatorDef): of the gradient.
        weight: the slot of the table.
        rows: the slot of the numbers of rows, which the gradient reads or, if it ends in "Out", finds itself.
        infer, kernel: of the operator that it then is: its outputs are such rows, the vectors that belong to them, and
            the other gradients.
    """
    type, slope = f"@{definition.type}_rows", weight + GRAD
    others = [slot.name for slot in definition.outputs if slot.name != slope]
    finds_rows = rows.endswith("Out")
    operator(
        type,
        ", ".join(slot.name + "?" * slot.optional for slot in definition.inputs),
        ", ".join([*([rows] if finds_rows else []), "Vectors", *(other + "?" for other in others)]),
        attributes=definition.gradient_of.table,
        infer=infer,
        kernel=BOUND,
        lod=_NO_LOD,
    )(kernel)

    @definition.rows_form(makes=lambda attrs, held: {slope} if attrs["is_sparse"] else frozenset())
    def lower(inputs, outputs, attrs, held):
        made = [value for value in outputs.get(slope, ()) if value is not EMPTY]
        if not made:
            return None
        (table,) = made
        vectors, found = table.derived("vectors"), {other: outputs.get(other, []) for other in others}
        numbers = table.derived("rows") if finds_rows else inputs[rows][0]
        found |= {"Vectors": [vectors], **({rows: [numbers]} if finds_rows else {})}
        # Fluid lists each row once.
        selected = SelectedRows([(numbers, vectors)], inputs[weight][0], is_merged=True)
        return [(type, inputs, found, attrs)], {table: selected}


sparse_slope(_nce_slope, "Weight", "SampleLabels", infer_nce_rows, nce_rows)


def infer_sampling_id(attrs, x):
    if len(x.shape) != 2:
        raise EnforceNotMet(f"X must have 2 dimensions, got the shape {list(x.shape)}")
    return Spec(x.shape[:1], _INT64)


@operator(
    "sampling_id",
    inputs="X!",
    outputs="Out!",
    attributes={"min": 0.0, "max": 1.0, "seed": 0},
    infer=infer_sampling_id,
    kernel=_DRAWS,
)
def sampling_id(ctx, x, out):
    """Draws a class of each row of probabilities: the first one up to which they add up to more than a number."""
    xp, attrs = ctx.xp, ctx.attrs
    last = x.shape[1] - 1

    def step():
        drawn = ctx.generator(attrs["seed"]).uniform(attrs["min"], attrs["max"], (len(x), 1))
        below = xp.cumsum(x, axis=1, dtype=np.float64) <= xp.asarray(drawn)
        xp.minimum(below.sum(axis=1), last, out=out)

    return step


def infer_sample_logits(attrs, logits, labels, samples, probabilities):
    if not attrs["uniq"]:
        raise EnforceNotMet("uniq must be True: what is drawn are different classes, as in Fluid")
    if len(logits.shape) != 2 or len(labels.shape) != 2:
        raise EnforceNotMet(
            f"Logits and Labels must have 2 dimensions, got the shapes {list(logits.shape)} and {list(labels.shape)}"
        )
    if attrs["use_customized_samples"] and None in (samples, probabilities):
        raise EnforceNotMet("with use_customized_samples, CustomizedSamples and CustomizedProbabilities must be given")
    if -1 < logits.shape[1] < attrs["num_samples"] and not attrs["use_customized_samples"]:
        raise EnforceNotMet(
            f"num_samples ({attrs['num_samples']}) different classes cannot be drawn, there being {logits.shape[1]}"
        )
    shape = logits.shape[0], labels.shape[1] + attrs["num_samples"]
    if samples is not None and samples.shape[1] not in (-1, shape[1]):
        raise EnforceNotMet(
            f"CustomizedSamples must have {shape[1]} columns, the classes of Labels and {attrs['num_samples']} others, "
            f"got the shape {list(samples.shape)}"
        )
    return (
        Spec(shape, _INT64),
        Spec(shape, logits.dtype),
        Spec((*logits.shape, 0), logits.dtype),
        Spec((*labels.shape, 0), logits.dtype),
        Spec(shape, logits.dtype),
        Spec(labels.shape, _INT64),
    )


def draw_different(generator, count, largest):
    """`count` different numbers, drawn from LogUniform one after the other, and how many were drawn for that."""
    sampler, found, before = LogUniform(largest), np.empty(0, np.int64), 0
    while True:
        drawn = np.concatenate([found, sampler.draw(generator, 2 * count)])
        # `before` numbers were drawn of which those in `found` are the different ones.
        _, first = np.unique(drawn, return_index=True)
        first.sort()
        if len(first) >= count:
            last = first[count - 1]
            return drawn[first[:count]], before + last + 1 - len(found)
        before += len(drawn) - len(found)
        found = drawn[first]


@operator(
    "sample_logits",
    inputs="Logits, Labels!, CustomizedSamples?!, CustomizedProbabilities?!",
    outputs="Samples!, Probabilities!, LogitsDim!, LabelsDim!, SampledLogits, SampledLabels!",
    attributes={
        "num_samples": 0,
        "use_customized_samples": False,
        "uniq": True,
        "remove_accidental_hits": True,
        "seed": 0,
    },
    infer=infer_sample_logits,
    kernel=_DRAWS,
    lod=_NO_LOD,
)
def sample_logits(ctx, logits, labels, given, given_probabilities, samples, probabilities, *results):
    """The logits of the right classes and of some that are drawn, less the logarithms of how likely that is."""
    xp, attrs = ctx.xp, ctx.attrs
    sampled, sampled_labels = results[2:]
    true, classes, count = labels.shape[1], logits.shape[1], attrs["num_samples"]
    sampler = LogUniform(classes)
    check = index_check(ctx, samples, classes, "class")

    def draw():
        found, tries = draw_different(ctx.generator(attrs["seed"]), count, classes)
        xp.copyto(samples[:, :true], labels)
        samples[:, true:] = xp.asarray(found)
        chances = sampler.probability(xp, samples)
        # How likely it is to be among the different ones of so many.
        expected = chances * count if tries == count else -xp.expm1(tries * xp.log1p(-chances))
        xp.copyto(probabilities, expected, casting="same_kind")

    def step():
        if attrs["use_customized_samples"]:
            xp.copyto(samples, given)
            xp.copyto(probabilities, given_probabilities)
        else:
            draw()
        check()
        xp.copyto(sampled, xp.take_along_axis(logits, samples, 1))
        if attrs["remove_accidental_hits"]:
            hits = (samples[:, true:, None] == labels[:, None, :]).any(axis=2)
            sampled[:, true:] -= hits.astype(sampled.dtype) * _NEVER
        xp.subtract(sampled, xp.clip(xp.log(probabilities), -_NEVER, _NEVER), out=sampled)
        sampled_labels[...] = xp.arange(true)

    return step


def infer_sample_logits_grad(attrs, samples, logits_dim, labels_dim, dsampled):
    return Spec(logits_dim.shape[:-1], dsampled.dtype)


@sample_logits.gradient(
    "Samples", shapes="LogitsDim, LabelsDim", of="SampledLogits", infer=infer_sample_logits_grad, kernel=BOUND
)
def sample_logits_grad(ctx, samples, logits_dim, labels_dim, dsampled, dlogits):
    xp = ctx.xp
    places = samples + xp.arange(len(samples))[:, None] * dlogits.shape[1]

    def step():
        xp.add(samples, xp.arange(len(samples))[:, None] * dlogits.shape[1], out=places)
        dlogits.fill(0)
        add_at(xp, dlogits.reshape(-1), places.reshape(-1), dsampled.reshape(-1))

    return step
