"""Two databases with the same file names: `registry` alone knows both."""
