"""The engines: each gives the same sums, from the rows of uses and layers, in its own way."""
