"""One SQL for both databases, over a `Reader`: exchanges, threads, statistics, and what follows."""
