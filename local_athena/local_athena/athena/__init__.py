"""The Athena API: workgroups, executions, results, prepared statements and named queries."""
