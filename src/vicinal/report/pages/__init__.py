"""Pages: one file each, which asks nothing of the network."""
