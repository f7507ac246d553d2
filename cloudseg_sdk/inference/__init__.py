"""From images to masks with a saved network. Nothing here imports training; only the Keras engine imports Keras."""
