"""Full-text search: what of an exchange is indexed, how it is cut into words, and who keeps it up.

Nothing here takes part in the commit of a record. Both databases get the same words, so the same
question has the same answer on either.
"""
