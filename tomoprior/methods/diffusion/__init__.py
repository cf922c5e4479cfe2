"""The diffusion method: a 3-D prior trained on volumes, held to the measured tilts at every noise level."""
