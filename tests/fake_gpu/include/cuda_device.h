// What a CUDA compiler gives to device code without any #include, for g++: put in front of every kernel by -include.
// The threads of a block are fibers of one host thread (see runner.cpp); the parts are in emu/.
#pragma once

#include <limits>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <tuple>
#include <utility>

// What NVRTC predefines. __CUDACC_RTC__ is left out: with it, CuPy's headers would want CCCL, which does not know g++ in
// that role; without it they take the host's <type_traits> and <utility>.
#define __CUDACC__ 1
#define __CUDA_ARCH__ 800
#define __CUDACC_VER_MAJOR__ 12
#define __CUDACC_VER_MINOR__ 9

#include "emu/qualifiers.h"
#include "emu/vectors.h"
#include "emu/threads.h"
#include "emu/warp.h"
#include "emu/atomics.h"
#include "emu/bits.h"
#include "emu/arithmetic.h"
#include "emu/entry.h"
