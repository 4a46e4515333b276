"""The recipe of the embedded model: texts, voices, training, evaluation, export. The package never imports it."""
