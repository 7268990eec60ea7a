"""Counting: how many of a thing a picture shows, answered by a number and held to the true one."""
