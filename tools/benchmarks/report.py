"""The report of bench.py as text."""

LABELS = {
    "fluidlite": "fluidlite",
    "torch": "PyTorch",
    "compile": "torch.compile",
    "compile_step": "compiled step",
    "jax": "JAX jit",
    "paddle": "Paddle",
}


def described(report):
    """The report as lines of text."""
    machine = report["machine"]
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    if "card" in report:
        yield "{name}, for CUDA {cuda}, CuPy {cupy}; TF32 {tf32} everywhere".format(
            **report["card"],
            cuda="{}.{}".format(report["card"]["driver"] // 1000, report["card"]["driver"] % 1000 // 10),
            tf32="on" if report["settings"]["tf32"] else "off",
        )
    if "peak" in report:
        yield from peak_lines(report["peak"])
    if report.get("nets"):
        yield from (gpu_tables if "card" in report else net_table)(report["nets"])
    for profile in report.get("profiles", []):
        yield ""
        yield "{net}, batch {batch}, {mode}: all threads' ms in {steps} steps".format(**profile)
        yield profile["table"]
        if "kinds" in profile:
            yield from kind_table(profile["kinds"], report["peak"])
    if "overhead" in report:
        overhead = report["overhead"]
        yield ""
        yield (
            f"engine overhead beyond NumPy's calls: {overhead['operator_s'] * 1e6:.2f} us per operator, "
            f"{overhead['run_s'] * 1e6:.1f} us for a whole run of one operator"
        )
    if "growth" in report:
        yield from growth_tables(report["growth"])
    if "import" in report:
        times = report["import"]
        yield ""
        yield "import: " + ", ".join(
            f"{module} {seconds * 1e3:.0f} ms ({seconds / times['numpy']:.2f} of numpy's)"
            for module, seconds in times.items()
        )
    if "epoch" in report:
        yield ""
        for name, own in report["epoch"]["frameworks"].items():
            yield f"one epoch of the tutorial, {LABELS[name]}: {own['wall_s']:.1f} s ({own['outcome']})"
            if own["passes_s"]:
                passes = ", ".join(f"{seconds:.2f}" for seconds in own["passes_s"])
                yield f"of that, each pass over the training images, reader included: {passes} s"
        walls = {name: own["wall_s"] for name, own in report["epoch"]["frameworks"].items()}
        if len(walls) == 2:
            yield f"fluidlite / Paddle = {walls['fluidlite'] / walls['paddle']:.2f}"


def peak_lines(peak):
    """What the machine, or the card, can do."""
    if "copy_bytes_per_s" in peak:
        yield (
            f"its peaks through CuPy: products of float32 {peak['sgemm_flops_per_s'] / 1e12:.1f} TFLOP/s, "
            f"copies {peak['copy_bytes_per_s'] / 1e12:.2f} TB/s, read and written"
        )
    else:
        yield f"NumPy {peak['numpy']}: {'; '.join(peak['kernels'])}"
        yield f"sgemm peak of all cores: {peak['sgemm_flops_per_s'] / 1e9:.0f} GFLOP/s"


def frameworks_of(entries):
    """The frameworks that at least one network was timed in, and a line with their versions."""
    names = [name for name in LABELS if any(name in entry["frameworks"] for entry in entries)]
    versions = {name: own["version"] for entry in entries for name, own in entry["frameworks"].items()}
    return names, ", ".join(f"{LABELS[name]} {versions[name]}" for name in names)


def rows(entries, names, cell, ending=None, head=""):
    """A line for each network and mode, after a line of heads, with a cell for each framework.

    Args:
        entries: the networks.
        names: the frameworks.
        cell: (a framework's name, its figures, those of fluidlite) -> text.
        ending: (entry) -> what ends a line; `head` stands over it.
    """
    yield f"{'net':12} {'batch':>5} {'mode':5}{''.join(f'{LABELS[name]:>15}' for name in names)}{head}"
    for entry in entries:
        figures = entry["frameworks"]
        cells = [cell(name, figures[name], figures["fluidlite"]) if name in figures else "-" for name in names]
        line = f"{entry['net']:12} {entry['batch']:5} {entry['mode']:5}{''.join(f'{text:>15}' for text in cells)}"
        yield line + (ending(entry) if ending else "")


def times(key, digits):
    """Cells with the time `key` in ms, and in brackets fluidlite's divided by it."""

    def cell(name, figures, own):
        text = f"{figures[key] * 1e3:.{digits}f}"
        return text if name == "fluidlite" else f"{text} ({own[key] / figures[key]:.2f})"

    return cell


def net_table(entries):
    """One line for each network and mode, one column for each framework."""

    def ending(entry):
        figures = entry["frameworks"]
        measured = [figures[name] for name in ("fluidlite", "torch") if "peak_bytes" in figures.get(name, {})]
        peaks = [f"{each['peak_bytes'] / 1e6:.0f}" for each in measured]
        return f"   {' / '.join(peaks):>11} {figures['fluidlite']['share_of_peak']:>8.0%}"

    names, versions = frameworks_of(entries)
    yield ""
    yield versions
    yield "median step in ms; in brackets fluidlite's time divided by it"
    yield from rows(entries, names, times("step_s", 2), ending, f"   {'peak MB':>11} {'of sgemm':>8}")
    yield "peak MB: resident memory of the process, fluidlite / PyTorch"
    yield "of sgemm: operations of the matrix products / time of the whole step / sgemm peak"


def gpu_tables(entries):
    """Times, launches and memory of each network on a GPU."""

    def share(key):
        return lambda entry: f" {entry['frameworks']['fluidlite'][key]:>9.1%}"

    def launches(name, figures, own):
        return "-" if figures["launches"] is None else f"{figures['launches']:.0f}"

    def memory(name, figures, own):
        sizes = [f"{figures[key] / 1e6:.0f}" for key in ("used_bytes", "held_bytes") if key in figures]
        return " / ".join(sizes) or "-"

    names, versions = frameworks_of(entries)
    yield ""
    yield versions
    yield "torch.compile: of the model and its loss; compiled step: of the optimizer, too; both with reduce-overhead"
    for title, key, share_key in (
        ("from NumPy arrays to the loss or the prediction on the host", "step_s", "share_of_peak"),
        ("data on the card, nothing fetched", "resident_s", "resident_share_of_peak"),
    ):
        yield ""
        yield f"median step in ms, {title}; in brackets fluidlite's time divided by it"
        yield from rows(entries, names, times(key, 3), share(share_key), f" {'of sgemm':>9}")
    yield "of sgemm: operations of the matrix products / time of fluidlite's whole step / peak of products"
    yield ""
    yield "launches in a step: nodes of fluidlite's graphs; kernels and copies that PyTorch's profiler saw"
    yield from rows(entries, names, launches)
    yield ""
    yield "MB on the card: the most in use by arrays / held by the allocator"
    yield from rows(entries, names, memory)


def kind_table(kinds, peak):
    """How near the operators of each type come to what the card can do."""
    yield ""
    yield f"{'operators of a type':30} {'ms a step':>10} {'of peak':>8}"
    for row in kinds:
        if "flops" in row:
            share, what = row["flops"] / row["step_s"] / peak["sgemm_flops_per_s"], "of products"
        else:
            share, what = row["bytes"] / row["step_s"] / peak["copy_bytes_per_s"], "of copies"
        yield f"{row['type']:30} {row['step_s'] * 1e3:10.3f} {share:>8.1%} {what}"
    yield "each waited for by itself, launch included; types that were fused or taken out are not here"


def growth_tables(growth):
    """How time grows with operators, layers and images."""
    for name, own in growth["operators"].items():
        yield ""
        yield (
            f"{LABELS[name]}, {own['operators']} operators: built in {own['build_s']:.2f} s, prepared in "
            f"{own['prepare_s']:.2f} s, replayed in {own['replay_s'] / own['operators'] * 1e6:.2f} us per operator"
        )
    for kind, unit in (("depth", "layers"), ("batch", "batch")):
        if kind in growth:
            yield ""
            yield f"{unit:>8} {'ms a step':>10} {'us for one of them':>19}"
            for row in growth[kind]:
                yield f"{row[unit]:8} {row['step_s'] * 1e3:10.2f} {row['step_s'] / row[unit] * 1e6:19.1f}"
