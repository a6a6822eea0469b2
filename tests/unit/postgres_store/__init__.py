"""The PostgreSQL store on real servers."""
