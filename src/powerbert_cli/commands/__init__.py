"""One recipe per verb: a composed config in, artifacts out."""
