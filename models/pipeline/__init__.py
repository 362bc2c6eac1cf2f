"""scikit-learn transformers fitted on the rows of all sites by exact merges."""
