"""What is stored, told to people: numbers, tokens, bodies and conversations as text."""
