"""What the steps of a turn stand on, each with the stages' functions and the store in hand. `loop.py` calls them."""
