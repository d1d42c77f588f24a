"""A study: from its options to stored records."""
