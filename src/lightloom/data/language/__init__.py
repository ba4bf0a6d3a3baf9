"""Long texts, of which a model learns what comes next."""
