"""Images, labels and the arrays that training reads. Nothing here imports Keras."""
