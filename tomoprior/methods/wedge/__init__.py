"""A network that learns from a series' own reconstruction what a missing wedge does to it, and fills the wedge in."""
