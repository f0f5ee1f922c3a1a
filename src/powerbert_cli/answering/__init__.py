"""Rows of a file or a stream, answered by a finished model."""
