"""Queries in Athena: started, waited for, stopped, and their results read."""
