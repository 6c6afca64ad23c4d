"""Hive's SerDes: how each reads the lines of a text file."""
