"""Parts that learned methods share: U-Net, optimiser, training state, tiling of a volume."""
