"""Folders and names on the hub to models, and back: loading, model directories, files for other programs."""
