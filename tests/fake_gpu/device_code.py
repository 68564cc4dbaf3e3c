"""Compiles CUDA C++ sources by g++ into modules that run their kernels on the CPU.

A module is a shared library: the source behind include/cuda_device.h (CUDA's words for g++), and a table of its
kernels, which libraries/runner.cpp runs.  Compiled modules are kept in a cache folder, by a hash of all that they were
made from.
"""

import ctypes
import functools
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
INCLUDE = HERE / "include"

# What a GPU's compiler does and g++ would not: one that fuses multiplications with additions, wraps integers around,
# and lets memory be read as another type.
FLAGS = ["-O1", "-fPIC", "-w", "-ffp-contract=fast", "-fwrapv", "-fno-strict-aliasing", "-fno-math-errno"]
FLAGS += ["-fno-gnu-unique", "-fno-exceptions", "-D_GNU_SOURCE"]

# With which the sources of CuPy's own kernels begin.
CUPYS_HEADERS = "#include <cupy/complex.cuh>\n#include <cupy/carray.cuh>\n#include <cupy/atomics.cuh>\n"
CUPYS_HEADERS += "#include <cupy/math_constants.h>\n"

# NVRTC's options that take no part here, by their beginnings.
IGNORED = (
    *(
        "-arch",
        "--gpu-architecture",
        "-default-device",
        "--device-as-default-execution-space",
        "-ftz",
        "--ftz",
        "-fmad",
    ),
    *(
        "--fmad",
        "-use_fast_math",
        "--use_fast_math",
        "-prec-div",
        "--prec-div",
        "-prec-sqrt",
        "--prec-sqrt",
        "-lineinfo",
    ),
    *("--generate-line-info", "-G", "--device-debug", "-w", "--disable-warnings", "-maxrregcount", "--maxrregcount"),
    *("-extra-device-vectorization", "--extra-device-vectorization", "-diag", "--diag", "-restrict", "--restrict"),
    *("-dopt", "--dopt", "-pch", "--pch", "-opt-info", "--opt-info", "-Xptxas", "--ptxas-options", "-minimal"),
    *("--minimal", "-split-compile", "--split-compile"),
)


class CompileError(Exception):
    """The compiler refused a source; the text is what it said."""


def cache_folder():
    """Where compiled things are kept: FAKE_GPU_CACHE, or a folder in the user's cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fluidlite-fake-gpu"
    return Path(os.environ.get("FAKE_GPU_CACHE") or default)


def compiler():
    """The path of g++, or None: without it nothing here works."""
    return shutil.which(os.environ.get("CXX") or "g++")


def compile_module(source, options=(), name_expressions=()):
    """Compiles a CUDA C++ source.

    Args:
        source: the text.
        options: NVRTC's options; -I, -D, -U and the C++ standard count, those about code generation are ignored.
        name_expressions: instances of kernel templates, as `scale<float>`.

    Returns:
        Path: of the module, a shared library whose symbol `emu_module` tells what it offers (include/emu/entry.h).

    Raises:
        CompileError: with the compiler's messages.
        ValueError: for an option that NVRTC does not have.
    """
    standard, flags = translated(options)
    base = [*machine_flags(), standard]
    key = digest(toolchain(), source, "\0".join([*base, *flags]), "\0".join(name_expressions))
    module = cache_folder() / "modules" / key[:2] / f"{key}.so"
    if module.exists():
        return module
    includes = [f"-I{INCLUDE}", *(flag for flag in flags if flag.startswith("-I"))]
    # Macros are defined behind the prelude: theirs are the source's names, not those of CUDA's own headers.
    source = f'{macros(flags)}\n#line 1 "kernels.cu"\n{source}'
    text = f"{with_dynamic_shared(source)}\n{table(find_kernels(source, [*base, *includes]), name_expressions)}"
    prelude = prelude_for([*base, *includes], CUPYS_HEADERS if CUPYS_HEADERS in source else "")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.cpp"
        path.write_text(text)
        result = Path(folder) / "module.so"
        link = ["-shared", "-Wl,--as-needed", "-Wl,-Bsymbolic", f"-Wl,-T,{HERE / 'shared.ld'}"]
        run_compiler(*base, *includes, "-include", prelude, path, *link, "-o", result)
        keep(result, module)
    return module


def translated(options):
    """NVRTC's options as g++'s.

    Args:
        options: a sequence of strings; an option's value may be the next one, as for -I and -D.

    Returns:
        tuple: the option for the C++ standard, and a list of those that begin with -I, -D or -U.

    Raises:
        ValueError: for an option that NVRTC does not have.
    """
    flags, standard = [], "-std=gnu++17"
    options = iter(options)
    for option in options:
        name, _, value = option.partition("=")
        if name in ("-I", "-D", "-U"):
            flags.append(option + next(options, ""))
        elif option[:2] in ("-I", "-D", "-U"):
            flags.append(option)
        elif name in ("--include-path", "--define-macro", "--undefine-macro"):
            flags.append({"i": "-I", "d": "-D", "u": "-U"}[name[2]] + (value or next(options, "")))
        elif name in ("-std", "--std"):
            # Not below 17, which the prelude is written in: CuPy 13 asks for 11.
            standard = "-std=gnu++" + {"20": "20", "23": "23"}.get(value[-2:], "17")
        elif name in ("-rdc", "--relocatable-device-code") or name in (
            "-dc",
            "--device-c",
            "-dlto",
            "--dlink-time-opt",
        ):
            raise ValueError(f"the emulator does not link device code: {option}")
        elif not option.startswith(IGNORED):
            raise ValueError(f"unrecognized option {option}")
    return standard, flags


def macros(flags):
    """The -D and -U among the flags as directives."""
    lines = []
    for flag in flags:
        if flag.startswith("-D"):
            name, equals, value = flag[2:].partition("=")
            lines.append(f"#undef {name.partition('(')[0]}\n#define {name} {value if equals else '1'}")
        elif flag.startswith("-U"):
            lines.append(f"#undef {flag[2:]}")
    return "\n".join([*lines, "#ifdef NDEBUG\n#undef assert\n#define assert(...) ((void)0)\n#endif"])


class Kernel:
    """A `__global__` function of a source: its qualified name, its launch bounds as text, and if it is a template."""

    def __init__(self, name, bounds, is_template):
        self.name = name
        self.bounds = bounds
        self.is_template = is_template


def find_kernels(source, flags):
    """The kernels that a source defines; macros and #if are expanded where they can matter."""
    text = without_comments(source)
    if re.search(r'^\s*#\s*(if(?!def NDEBUG\b)|include\s*"|define\b[^\n]*(\\\n[^\n]*)*__global__)', text, re.M):
        text = preprocessed(source, flags)
    found = {}
    for position, start, scope in declarations(text):
        parsed = declared_name(text, position)
        if parsed:
            name, bounds = parsed
            is_template = re.search(r"\btemplate\b", text[start:position]) is not None
            kernel = Kernel("::".join([*scope, name]), bounds, is_template)
            found.setdefault(kernel.name, kernel)
    return list(found.values())


def declarations(text):
    """Where each `__global__` ends, where its declaration begins, and the named namespaces around it."""
    stack, start = [], 0
    for match in re.finditer(r"[{};]|\b__global__\b", text):
        if match[0] == "__global__":
            yield match.end(), start, [name for name in stack if name]
            continue
        if match[0] == "{":
            opened = re.search(r"\bnamespace\s+([\w:]+)\s*$", text[start : match.start()])
            stack.append(opened[1] if opened else None)
        elif match[0] == "}" and stack:
            stack.pop()
        start = match.end()


def preprocessed(source, flags):
    """The source and all that it includes, after the preprocessor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.cpp"
        path.write_text(source)
        header = INCLUDE / "cuda_device.h"
        text = run_compiler("-E", "-DEMU_SCAN", *flags, "-include", header, path)
    return without_comments(re.sub(r"^#.*", "", text, flags=re.M))


def without_comments(text):
    """Comments, and the insides of literals, as blanks."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\''
    return re.sub(pattern, lambda m: '""' if m[0][0] == '"' else " ", text, flags=re.S)


def declared_name(text, start):
    """The name of the function whose declaration goes on at `start`, and its launch bounds; None if it is none."""
    bounds = ""
    while match := re.compile(r'(?:\s|"")*([A-Za-z_]\w*)\s*(\(?)').match(text, start):
        if not match[2]:
            start = match.end()
            continue
        end = closing(text, match.end())
        if match[1] == "__launch_bounds__":
            bounds = text[match.end() : end - 1]
        elif match[1] not in ("__attribute__", "__cluster_dims__", "__maxnreg__", "__block_size__"):
            return match[1], bounds
        start = end
    return None


def closing(text, start):
    """Where the parenthesis that was opened just before `start` has been closed."""
    depth = 1
    for match in re.compile(r"[()]").finditer(text, start):
        depth += 1 if match[0] == "(" else -1
        if not depth:
            return match.end()
    return len(text)


def with_dynamic_shared(source):
    """`extern __shared__ T name[];` as a pointer to the runner's buffer: C++ has no other word for it."""
    pattern = r"\b(?:extern\s+__shared__|__shared__\s+extern)\s+([^;\[\]]*?)(\w+)\s*\[\s*\]\s*;"
    return re.sub(pattern, r"\1 *const \2 = emu::DynamicShared();", source)


def table(kernels, name_expressions):
    """The source of the module's table of entries."""
    lines = []
    for kernel in kernels:
        if not kernel.is_template:
            lines.append(f'EMU_ENTRY("{kernel.name}", (emu::first({kernel.bounds or 0})), {kernel.name}),')
    bounds = {kernel.name: kernel.bounds for kernel in kernels}
    for expression in name_expressions:
        target = expression.strip().removeprefix("&").strip()
        name = re.match(r"[\w:]+", target)
        if name and name[0].removeprefix("::") in bounds:
            # A template's bounds may use its parameters, which have no meaning here.
            lines.append(f'EMU_ENTRY("{expression}", 0, {target}),')
    body = "\n".join(lines)
    return f"""#line 1 "table of kernels"
#undef static
const EmuEntry emu_entries[] = {{{body} EmuEntry{{}}}};
extern "C" {{
extern __attribute__((visibility("hidden"))) char emu_shared_begin[], emu_shared_end[];  // from shared.ld
extern __attribute__((visibility("default"))) const EmuModule emu_module;
const EmuModule emu_module = {{emu_entries, {len(lines)}, emu_shared_begin, emu_shared_end}};
}}
"""


@functools.lru_cache(None)
def toolchain():
    """A hash of the compiler's version and of the files here that take part in every module."""
    if not compiler():
        raise CompileError("no C++ compiler: the emulator compiles kernels by g++")
    version = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    files = [*sorted(INCLUDE.rglob("*.h")), HERE / "shared.ld", Path(__file__)]
    return digest(version, "\0".join(FLAGS), *(file.read_text() for file in files))


@functools.lru_cache(None)
def machine_flags():
    """The flags for this machine: with instructions that multiply and add at once, as GPUs have, if it has them."""
    flags = list(FLAGS)
    if platform.machine() == "x86_64" and re.search(r"^flags.*\bfma\b", Path("/proc/cpuinfo").read_text(), re.M):
        flags += ["-mfma", "-mavx2", "-mf16c"]
    return tuple(flags)


def prelude_for(flags, more=""):
    """A header that includes cuda_device.h, and more, compiled in advance for these flags."""
    folder = cache_folder() / "preludes" / digest(toolchain(), "\0".join(flags), more)
    header = folder / "prelude.h"
    if not (folder / "prelude.h.gch").exists():
        with tempfile.TemporaryDirectory() as work:
            text = Path(work) / "prelude.h"
            text.write_text(f'#include "{INCLUDE / "cuda_device.h"}"\n{more}')
            run_compiler(*flags, "-x", "c++-header", text, "-o", Path(work) / "prelude.h.gch")
            keep(text, header)
            keep(Path(work) / "prelude.h.gch", folder / "prelude.h.gch")
    return header


def run_compiler(*arguments):
    command = [compiler(), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CompileError(done.stderr)
    return done.stdout


def keep(built, place):
    """Puts a file into the cache in one step: others may be doing the same."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.copyfile(built, temporary)
    temporary.replace(place)


def digest(*texts):
    return hashlib.sha256("\1".join(texts).encode()).hexdigest()[:40]


def serve(nvrtc):
    """Compiles what the emulated NVRTC is asked to compile, in this process.

    Args:
        nvrtc: its library, as ctypes has loaded it.
    """
    texts = ctypes.POINTER(ctypes.c_char_p)

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, texts, ctypes.c_int, texts)
    def compile(program, source, option_count, options, name_count, names):
        status = 0
        try:
            options = [text.decode() for text in options[:option_count]]
            answer = compile_module(source.decode(), options, [text.decode() for text in names[:name_count]])
        except CompileError as error:
            status, answer = 6, error  # NVRTC_ERROR_COMPILATION
        except ValueError as error:
            status, answer = 5, error  # NVRTC_ERROR_INVALID_OPTION
        nvrtc.nvrtc_answer(ctypes.c_void_p(program), str(answer).encode())
        return status

    nvrtc.nvrtc_compile_by(compile)
    SERVING.append(compile)


SERVING = []  # what NVRTC has the address of
