"""The corpus: sources, licences, filters, near-duplicates, shards and the tokenizer."""
