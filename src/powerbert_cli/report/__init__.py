"""Tables and pictures out of artifacts, and what is seen while a stage runs."""
