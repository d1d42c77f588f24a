"""Streams of batches: the expansion and the mixup loss of data that do not fit into memory."""
