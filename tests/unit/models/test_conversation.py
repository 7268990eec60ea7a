"""What a message about a conversation tells."""

from __future__ import annotations

from paceline.models.conversation import Conversation


def test_what_makes_a_prompt_shorter_speaks_of_images_only_where_there_are_some() -> None:
    assert "images" in Conversation("?", images=["picture"]).shorter
    assert "images" in Conversation("?", shots=[Conversation("?", images=["picture"], answer="a")]).shorter
    text = Conversation("?").shorter
    assert "images" not in text and "task.options.top" in text
