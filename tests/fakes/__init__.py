"""Stand-ins for the far end of the network: a model server that plays what real ones do."""
