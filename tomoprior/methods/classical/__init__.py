"""Solvers without learning: weighted back-projection, direct Fourier inversion, and iterative methods.

``iterative`` and ``problem`` hold what the iterative ones share: the setting up, the residuals, the stopping.
"""
