"""`paddle.version`, for what asks which Paddle it has before it does anything: the one whose API this is."""

full_version = "1.8.5"
major, minor, patch = full_version.split(".")
rc = "0"
# Of the real Paddle 1.8.5.
commit = "8e1712a71057e3ca06a2927ceec51c18cb171fdc"
istaged = True
with_mkl = "OFF"


def show():
    """Print the version, part by part."""
    for name in ("full_version", "major", "minor", "patch", "rc"):
        print(f"{name}: {globals()[name]}")


def mkl():
    """Whether products of matrices are Intel MKL's ("ON" or "OFF"): they are NumPy's."""
    return with_mkl
