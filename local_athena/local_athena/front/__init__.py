"""The front: one port for all of AWS, and the same calls made from inside by a query."""
