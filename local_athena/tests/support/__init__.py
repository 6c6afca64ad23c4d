"""What the tests of the local Athena share."""
