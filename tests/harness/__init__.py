"""What the tests drive real processes with: proxies, clients and a look into the database."""
