"""Classification: which of the data's labels is this? Answered in words, and read by the names that labels have."""
