"""What computes the network: the device, its threads and its compiled pieces."""
