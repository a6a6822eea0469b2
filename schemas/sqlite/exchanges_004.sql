-- Version 4 of our own tables: more is indexed than before, so the search index is made anew. Without
-- its trigger the table of words counts as one that misses deletions, and both tables are emptied.
DROP TRIGGER IF EXISTS {exchanges_search_words_trigger};
