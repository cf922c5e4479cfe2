"""Files: locks, atomic writes, tensors without pickle, arrays that are read when needed."""
