"""What travels between the rooms of the server: calls and answers as values, who calls, what was called."""
