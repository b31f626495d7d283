"""What other tools write and send, as the fields of interactions and feedback: pure functions, no I/O."""
