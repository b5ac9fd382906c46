"""What a person types and reads: commands, console, reports and exit codes."""
