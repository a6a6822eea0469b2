-- The words of each entry, in parts: the rowid is entry_id * 65536 + part. Words come cut by
-- ourselves, with blanks between; this tokenizer leaves everything beyond ASCII as it is.
CREATE VIRTUAL TABLE {exchanges_search_words} USING fts5 (words, tokenize = 'ascii');

CREATE TRIGGER {exchanges_search_words_trigger} AFTER DELETE ON {exchanges_search} BEGIN
    DELETE FROM {exchanges_search_words}
    WHERE rowid >= OLD.entry_id * 65536 AND rowid < (OLD.entry_id + 1) * 65536;
END;
