"""Text for people: numbers, times, one exchange as a line, a view, or JSON."""
