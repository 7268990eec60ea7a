"""Questions about satellite and aerial tiles, as RSVQA asks them: presence, comparison, count, area, rural or urban."""
