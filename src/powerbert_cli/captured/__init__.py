"""The engine of our own for a GPU: packed rows in buffers of fixed sizes, so that a whole pass is one CUDA graph."""
