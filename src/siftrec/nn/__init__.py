"""Plain torch: layers, importance, views, losses. Knows nothing of methods, tables or files."""
