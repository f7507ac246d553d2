"""Fitting and calibrating a network. Importing this package imports Keras."""
