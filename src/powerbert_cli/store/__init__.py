"""Run directories, stages and artifacts: everything that touches the disk."""
