"""Inputs to numbers: texts to vectors and n-grams, tables to scaled matrices. Curate, label and train share it."""
