"""The audit log: a chain of lines, the file that holds it, and what is recorded of messages."""
