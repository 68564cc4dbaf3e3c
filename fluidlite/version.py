"""The version of fluidlite, and of the Paddle that it stands for, as scripts find that in `paddle.version`."""

__version__ = "0.1.0"

full_version = "1.8.5"
major, minor, patch = full_version.split(".")
rc = "0"
istaged = True
commit = f"fluidlite {__version__}"
with_mkl = "OFF"


def show():
    """Print the version."""
    print(f"full_version: {full_version}\nmajor: {major}\nminor: {minor}\npatch: {patch}\nrc: {rc}\ncommit: {commit}")


def mkl():
    """Whether MKL computes the products of matrices: 'OFF', for it is the library that NumPy was built with."""
    return with_mkl
