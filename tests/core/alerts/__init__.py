"""What is pure about alerts."""
