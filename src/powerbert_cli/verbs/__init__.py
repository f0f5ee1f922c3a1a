"""The verbs: settings, then stages, then the report."""
