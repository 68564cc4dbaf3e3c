"""Where a Program runs."""


class CPUPlace:
    """The CPU, through NumPy."""

    @property
    def device(self):
        """What the engine runs Programs on (a Host or a Gpu)."""
        from .device import CPU

        return CPU

    def __repr__(self):
        return "CPUPlace"

    def __eq__(self, other):
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self):
        return hash(repr(self))


class CUDAPinnedPlace(CPUPlace):
    """Page-locked host memory, from which copies to a GPU are fast; what runs there runs on the CPU."""

    def __repr__(self):
        return "CUDAPinnedPlace"


class CUDAPlace(CPUPlace):
    """GPU number `device_id`, through CuPy.

    Raises RuntimeError, when something is to run there, if CuPy or the device is missing.
    """

    def __init__(self, device_id=0):
        if isinstance(device_id, bool) or not isinstance(device_id, int) or device_id < 0:
            raise ValueError(f"CUDAPlace takes the number of a GPU, 0 or more; got {device_id!r}")
        self.device_id = device_id

    def get_device_id(self):
        return self.device_id

    @property
    def device(self):
        """The Gpu that runs Programs; raises RuntimeError where CuPy or the device is missing."""
        try:
            import cupy
        except ImportError as error:
            raise RuntimeError(
                f"{self!r} needs CuPy, which cannot be imported ({error}). Install it with "
                "pip install 'fluidlite[cuda12]' (or [cuda13], as your driver wants), or use fluid.CPUPlace()"
            ) from None
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except Exception as error:  # cupy raises its own types, for a missing driver too
            raise RuntimeError(
                f"{self!r}: CuPy finds no GPU ({error}). It needs an NVIDIA card, and a driver as new as its CUDA: "
                "pip install 'fluidlite[cuda12]' for drivers from 525 on, [cuda13] from 580 on; or use fluid.CPUPlace()"
            ) from None
        if self.device_id >= count:
            raise RuntimeError(f"{self!r}: this machine has {count} GPU(s), numbered from 0")
        from .gpu.device import gpu

        return gpu(cupy, self.device_id)

    def __repr__(self):
        return f"CUDAPlace({self.device_id})"


def cuda_device_count():
    """How many GPUs CuPy can see; 0 without CuPy or a driver."""
    try:
        import cupy

        return cupy.cuda.runtime.getDeviceCount()
    except Exception:  # no CuPy, no driver, no device: all mean 0
        return 0
