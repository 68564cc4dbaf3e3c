"""How a plan runs on a GPU, through CuPy: streams, CUDA graphs, transfers, cuBLAS."""
