"""Kernels in CUDA C: there is nothing here that compiles them."""


class NoCompiler(RuntimeError):
    """A kernel in CUDA C is to run, and nothing can compile it for the CPU."""


class RawModule:
    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc", name_expressions=None, **more):
        self.code, self.options = code, options

    def get_function(self, name):
        raise NoCompiler(f"{name}: kernels in CUDA C do not run on the stand-in")


class RawKernel:
    def __init__(self, code, name, options=(), backend="nvrtc", **more):
        self.code, self.name, self.options = code, name, options

    def __call__(self, grid, block, args, **kwargs):
        raise NoCompiler(f"{self.name}: kernels in CUDA C do not run on the stand-in")
