"""What every store keeps to, whatever the database."""
