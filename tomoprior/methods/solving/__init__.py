"""Parts that iterative solvers share: the weighted problem, gradients, step rules, strength by held-out tilts."""
