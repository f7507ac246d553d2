"""Networks. Importing this package imports Keras."""
