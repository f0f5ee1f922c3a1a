"""The stages: each a frozen record of its inputs, whose hash is its identity, and how it becomes a folder."""
