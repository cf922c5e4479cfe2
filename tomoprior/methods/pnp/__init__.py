"""Plug-and-play priors: any denoiser as the prior of a reconstruction."""
