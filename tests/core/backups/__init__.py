"""What is pure about backups."""
