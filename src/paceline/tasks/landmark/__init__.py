"""Which landmark does a photo show? Multiple choice, told apart by what the landmark is for."""
