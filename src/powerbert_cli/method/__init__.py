"""Word-vector elimination on plain tensors: scoring, selecting, soft-extract, retention.

Imports torch and nothing else of this project. Shapes, here and in `encoder`:
B batch, N word-vectors in, K word-vectors kept, H heads, D hidden size, L encoder layers.
"""
