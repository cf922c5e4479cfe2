"""A projector without a stored matrix: ASTRA's linear kernel compiled by Numba, for all slices at once on the CPU."""
