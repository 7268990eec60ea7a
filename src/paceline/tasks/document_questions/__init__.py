"""Questions about documents: each is asked of the chunks of a text nearest to it; the answers fill a summary sheet."""
