"""A sample's way in: readers, prepared samples, images, leakage, prompts and the conversations made of them."""
