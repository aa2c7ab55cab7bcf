"""What survives a power cut: the blobs and the ledger."""
