"""Two instruments, never mixed: ratios to peers within one run, and counts of instructions."""
