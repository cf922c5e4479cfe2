"""Parts that iterative solvers share: the weighted problem, gradients, step sizes, and a strength chosen by held-out tilts."""
