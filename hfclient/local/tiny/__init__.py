"""The model in the box: its files, the conversations it learnt, and the script that taught it."""
