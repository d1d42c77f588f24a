"""The figures of the talk: records of all seeds → drawings, sentences, pages, pictures, tables."""
