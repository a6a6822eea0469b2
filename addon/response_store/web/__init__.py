"""A page for people to look at what is stored: `response-store web`. Only it imports tornado."""
