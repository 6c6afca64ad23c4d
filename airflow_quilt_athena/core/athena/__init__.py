"""What is known of Athena without asking it: SQL text, Hive's types, query states, prices."""
