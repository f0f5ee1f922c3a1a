"""The engine of our own for a CPU: packed rows from the first layer to the last, a handful of calls for each layer."""
