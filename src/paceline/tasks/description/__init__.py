"""Description: two questions about a picture, what it shows and its main colours, of any folder of pictures."""
