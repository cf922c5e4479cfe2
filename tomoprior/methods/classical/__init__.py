"""Solvers without learning: weighted back-projection, direct Fourier inversion, and iterative methods.

The iterative methods share the parts in ``tomoprior.methods.solving``: set-up, residuals, stopping.
"""
