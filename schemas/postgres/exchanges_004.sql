-- Version 4 of our own tables: more is indexed than before, so the search index is made anew.
TRUNCATE {exchanges_search}, {exchanges_search_words};
