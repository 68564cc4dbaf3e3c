// All that CuPy's complex numbers take from Thrust. The real header pulls in CCCL, which expects NVIDIA's compilers.
#pragma once

#define THRUST_NAMESPACE_BEGIN namespace thrust {
#define THRUST_NAMESPACE_END }
