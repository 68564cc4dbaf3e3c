"""The report of bench.py as text."""

LABELS = {
    "fluidlite": "fluidlite",
    "torch": "PyTorch",
    "compile": "torch.compile",
    "jax": "JAX jit",
    "paddle": "Paddle",
}


def described(report):
    """The report as lines of text."""
    machine = report["machine"]
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}"
    if "peak" in report:
        peak = report["peak"]
        yield f"NumPy {peak['numpy']}: {'; '.join(peak['kernels'])}"
        yield f"sgemm peak of all cores: {peak['sgemm_flops_per_s'] / 1e9:.0f} GFLOP/s"
    if report.get("nets"):
        yield from net_table(report["nets"])
    for profile in report.get("profiles", []):
        yield ""
        yield "{net}, batch {batch}, {mode}: all threads' ms in {steps} steps".format(**profile)
        yield profile["table"]
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
        walls = {name: own["wall_s"] for name, own in report["epoch"]["frameworks"].items()}
        if len(walls) == 2:
            yield f"fluidlite / Paddle = {walls['fluidlite'] / walls['paddle']:.2f}"


def net_table(entries):
    """One line for each network and mode, one column for each framework."""
    names = [name for name in LABELS if any(name in entry["frameworks"] for entry in entries)]
    versions = {name: own["version"] for entry in entries for name, own in entry["frameworks"].items()}
    yield ""
    yield ", ".join(f"{LABELS[name]} {versions[name]}" for name in names)
    yield "median step in ms; in brackets fluidlite's time divided by it"
    heads = [f"{LABELS[name]:>15}" for name in names]
    yield f"{'net':12} {'batch':>5} {'mode':5}{''.join(heads)}   {'peak MB':>11} {'of sgemm':>8}"
    for entry in entries:
        figures = entry["frameworks"]
        own = figures["fluidlite"]
        cells = ""
        for name in names:
            cell = "-"
            if name in figures:
                cell = f"{figures[name]['step_s'] * 1e3:.2f}"
                if name != "fluidlite":
                    cell += f" ({own['step_s'] / figures[name]['step_s']:.2f})"
            cells += f"{cell:>15}"
        measured = [figures[name] for name in ("fluidlite", "torch") if "peak_bytes" in figures.get(name, {})]
        peaks = [f"{each['peak_bytes'] / 1e6:.0f}" for each in measured]
        start = f"{entry['net']:12} {entry['batch']:5} {entry['mode']:5}"
        yield f"{start}{cells}   {' / '.join(peaks):>11} {own['share_of_peak']:>8.0%}"
    yield "peak MB: resident memory of the process, fluidlite / PyTorch"
    yield "of sgemm: operations of the matrix products / time of the whole step / sgemm peak"


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
