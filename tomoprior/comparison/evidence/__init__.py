"""The checks of a reconstruction, one module each: plain values from a volume, the tilts and, where there is one, the truth."""
