"""What is an answer about a document, and what is none: read as a careful person would, labelled before it was run."""

from __future__ import annotations

import pytest

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.tasks.document_questions.asked_questions import ELEVEN
from paceline.tasks.kind import Answer, Part

KIND = tasks.load("document_questions")
TASK = TaskSpec(name="papers", kind="document_questions")
PROMPT = PromptSpec(
    name="p",
    text="Here is a part of a document:\n\n{passage}\n\nAs a reviewer, answer this question about the document, from "
    "what stands above: {question}",
    system="You are an experienced reviewer who reads papers with care.",
)
PASSAGE = (
    "Pannellum is an interactive web-based panorama viewer that is free and open source. Built using HTML5, CSS3, "
    "JavaScript, and WebGL, it is plug-in free. It can be deployed easily as a single file, just 21 kB gzipped, and "
    "then embedded into pages as an iframe. A configuration utility is included to generate the required code for "
    "embedding. An API is included for more advanced integrations. Existing viewers needed plug-ins or were sold."
)

A, R, E, M = "parsed", "refused", "echoed", "malformed"
LABELLED: list[tuple[str, str, str]] = [
    # --- answers
    ("topic", "The document is about Pannellum, a web-based panorama viewer.", A),
    ("topic", "Pannellum", A),
    ("topic", "Panorama viewers.", A),
    ("topic", "A panorama viewer for the web", A),
    ("topic", "**Pannellum**, an open-source viewer of panoramas", A),
    ("topic", "It is about a viewer.\n\nIt runs in browsers.", A),
    ("topic", "This paper introduces an interactive panorama viewer that works without plug-ins", A),
    ("topic", "The document is about a viewer that is not sold.", A),
    ("topic", "I think it is about a panorama viewer.", A),
    ("topic", "It may be about panoramas on web pages.", A),
    ("topic", "Answer: a panorama viewer", A),
    ("topic", "**Answer:** Pannellum is a viewer of panoramas.", A),
    ("topic", "Topic: web-based panorama viewing", A),
    ("topic", "What is this document about? It is about Pannellum.", A),
    ("topic", "Sure! The document describes a panorama viewer.", A),
    ("topic", "Sure, here is the answer: the document describes a panorama viewer.", A),
    ("topic", "<think>The user asks for the topic.</think>A viewer of panoramas.", A),
    ("topic", '{"answer": "A viewer of panoramas in the browser"}', A),
    ("topic", "- a panorama viewer\n- its API\n- its configuration utility", A),
    ("topic", "1. Panoramas\n2. Browsers", A),
    ("topic", "Pannellum is an interactive web-based panorama viewer that is free and open source.", A),
    ("proposal", "They propose Pannellum, built on WebGL.", A),
    ("proposal", "The authors propose a viewer that doesn't need plug-ins.", A),
    ("proposal", "A single file of 21 kB.", A),
    ("proposal", "21 kB", A),
    ("motivation", "Existing viewers needed plug-ins or were sold.", A),
    ("motivation", "There was no free viewer that works without plug-ins.", A),
    ("motivation", "Other viewers could not be embedded without plug-ins.", A),
    ("motivation", "Existing viewers were not free.", A),
    ("motivation", "Nobody had written a free viewer before.", A),
    ("motivation", "The lack of free viewers.", A),
    ("motivation", "Plug-ins are no longer supported by browsers, which can't show panoramas.", A),
    (
        "motivation",
        "The passage does not state the motivation, but it suggests that existing viewers needed plug-ins.",
        A,
    ),
    (
        "motivation",
        "The text doesn't say so directly. However, the need for plug-ins seems to be the problem.",
        A,
    ),
    ("motivation", "Although it is not stated explicitly, viewers that need plug-ins are the problem.", A),
    ("motivation", "Not stated outright; existing viewers needed plug-ins, though.", A),
    ("approach", "They use HTML5, CSS3, JavaScript and WebGL.", A),
    ("approach", "By WebGL, without any plug-in.", A),
    ("approach", "The authors implement the viewer in JavaScript; no plug-in is needed.", A),
    ("results", "The viewer has 21 kB and is used by museums.", A),
    ("results", "The main result is a viewer of 21 kB", A),
    ("results", "No plug-in is needed any more.", A),
    ("results", "The results are unclear to most readers because the study was small.", A),
    ("fair_comparison", "No.", A),
    ("fair_comparison", "Yes", A),
    ("fair_comparison", "No, the authors do not compare their viewer with others.", A),
    ("fair_comparison", "The authors do not compare their results with those of others.", A),
    ("fair_comparison", "The comparison is not fair: only sold viewers are named.", A),
    ("fair_comparison", "Yes, the results are compared with those of other viewers in a fair way.", A),
    ("fair_comparison", "In a fair way.", A),
    ("fair_comparison", "There is no comparison.", A),
    ("authors_takeaways", "They conclude that panoramas can be shown without plug-ins.", A),
    ("own_takeaways", "That a small file can be enough", A),
    ("own_takeaways", "You should remember that it is free.", A),
    ("own_takeaways", "Readers may want to remember that the file is small.", A),
    ("use", "It can be used by anyone who wants to embed a panorama into a page.", A),
    ("use", "You can use it to show panoramas on your own page.", A),
    ("use", "Museums, estate agents and scientists", A),
    ("open_problems", "Support of old browsers is not provided.", A),
    ("open_problems", "Stereo panoramas cannot be shown yet.", A),
    ("open_problems", "None.", A),
    ("open_problems", "The viewer does not support old browsers.", A),
    ("open_problems", "It is unclear how well it runs on phones.", A),
    ("open_problems", "Performance on phones; support of stereo pictures.", A),
    ("summary", "Pannellum shows panoramas in the browser. It is free. It needs no plug-in.", A),
    ("summary", "Pannellum is a viewer. Built using HTML5, it is small. An API is included.", A),
    ("summary", "The paper presents a viewer for panoramas.\nQuestion: What is WebGL?\nAnswer: An API.", A),
    ("summary", "The paper presents a viewer for panoramas.\n\nUser: Thanks!\nAssistant: You are welcome.", A),
    ("summary", "The paper presents a small viewer. The paper presents a small viewer. The paper presents a small", A),
    ("summary", "A viewer of panoramas is presented here. It is free. It is free. It is free. It is free. It is", A),
    ("summary", "A free viewer of panoramas.</s>", A),
    ("summary", "A free viewer of panoramas.<|im_end|>\n<|im_start|>user", A),
    ("summary", "Sorry for the delay: Pannellum is a panorama viewer.", A),
    ("summary", "As an AI could not, Pannellum shows panoramas.", A),
    ("summary", "I would sum up the document as a note on a viewer.", A),
    ("summary", "We need no plug-ins to see panoramas: Pannellum shows them.", A),
    ("own_takeaways", "The authors do not stress on the importance of interactive storytelling in their work.", A),
    (
        "results",
        "The main results of the research are:\n\n1. Cartography: The use of maps has been a long-standing practice",
        A,
    ),
    ("proposal", "They propose a viewer, but it is not sold.", A),
    ("proposal", "They propose a viewer, but the price is unclear.", A),
    ("results", "The viewer is small, though it is unclear how fast it is.", A),
    # --- refusals
    ("motivation", "The passage does not say.", R),
    ("motivation", "The passage does not mention any problem.", R),
    ("motivation", "The text does not provide this information.", R),
    ("motivation", "The provided text doesn't specify which problem makes the proposal necessary.", R),
    ("motivation", "The given passage does not explicitly state the motivation.", R),
    ("motivation", "The document does not contain information about the motivation.", R),
    ("motivation", "This part of the document does not answer the question.", R),
    ("motivation", "The authors do not mention their motivation.", R),
    ("motivation", "Unfortunately, the passage doesn't give the reason.", R),
    ("motivation", "I'm sorry, but the passage does not contain that information.", R),
    ("motivation", "Based on the passage, the motivation is not mentioned.", R),
    ("motivation", "The motivation is not stated in the passage.", R),
    ("motivation", "The problem is not mentioned.", R),
    ("motivation", "This is not specified in the text.", R),
    ("motivation", "This information isn't provided.", R),
    ("motivation", "It is not clear from the text.", R),
    ("motivation", "It is not clear from the passage which problem is meant.", R),
    ("motivation", "It is unclear.", R),
    ("motivation", "Not mentioned.", R),
    ("motivation", "Not stated in the text.", R),
    ("motivation", "None mentioned", R),
    ("motivation", "N/A", R),
    ("motivation", "n/a.", R),
    ("motivation", "Unknown", R),
    ("motivation", "**Not specified**", R),
    ("motivation", "Answer: not mentioned in the passage", R),
    ("motivation", "No information is given about that.", R),
    ("motivation", "No information", R),
    ("motivation", "There is no mention of a problem in the passage.", R),
    ("motivation", "There is not enough information to answer this question.", R),
    ("motivation", "There's no information about it.", R),
    ("motivation", "There is nothing in the text about that.", R),
    ("motivation", "Not enough information.", R),
    ("motivation", "Insufficient context to answer.", R),
    ("motivation", "I don't know.", R),
    ("motivation", "I do not know", R),
    ("motivation", "I cannot answer this question from the passage.", R),
    ("motivation", "I can't determine that.", R),
    ("motivation", "I am unable to answer.", R),
    ("motivation", "I'm not able to find it in the text.", R),
    ("motivation", "I'm sorry, I can't help with that.", R),
    ("motivation", "I am not sure.", R),
    ("motivation", "I’m not sure.", R),
    ("motivation", "I don’t have enough information.", R),
    ("motivation", "I would need the whole document to answer.", R),
    ("motivation", "We cannot tell from the text.", R),
    ("motivation", "As an AI language model, I have no access to the document.", R),
    ("motivation", "It cannot be determined from the passage.", R),
    ("motivation", "This can't be answered from the text above.", R),
    ("motivation", "The question cannot be answered.", R),
    ("motivation", "It is impossible to say.", R),
    ("motivation", "It is hard to tell from this excerpt.", R),
    ("motivation", "Impossible to tell.", R),
    ("motivation", "Unable to determine from the given text.", R),
    ("motivation", "The passage does not say what the motivation is. It only describes the viewer.", R),
    ("motivation", "The passage doesn't mention a problem, it only describes the viewer.", R),
    ("motivation", "The passage does not mention a problem, but it only describes the viewer.", R),
    ("motivation", "The passage does not say. Please provide the whole document.", R),
    ("motivation", "I'm sorry. The text does not say. Let me know if you need anything else!", R),
    ("motivation", "Which problem makes this proposal necessary? The passage does not say.", R),
    ("motivation", "<think>Let me look.</think>The passage does not say.", R),
    ("motivation", "The passage does not say. The passage does not say. The passage does not say. The passage", R),
    ("results", "No results are mentioned in the passage.", R),
    ("results", "The results are not reported in this passage.", R),
    ("results", "The paper does not give any results.", R),
    ("open_problems", "The paper does not mention any open problems.", R),
    ("open_problems", "Open problems are not discussed.", R),
    ("fair_comparison", "The passage does not provide a comparison.", R),
    ("open_problems", "The text names many applications, but it is unclear which problems are left open.", R),
    (
        "open_problems",
        "The text provides a comprehensive overview of various applications, but it is unclear which problems are left "
        "open. The text does not provide any information about the specific applications that are left open.",
        R,
    ),
    ("use", "The passage names museums, but it does not say for what this can be used.", R),
    ("results", "The viewer is described, however the results are not mentioned in the passage.", R),
    # --- echoes
    ("motivation", "Which problem makes this proposal necessary?", E),
    ("motivation", "which problem makes this proposal necessary", E),
    ("motivation", "**Which problem makes this proposal necessary?**", E),
    ("motivation", "Question: Which problem makes this proposal necessary?", E),
    ("motivation", "Motivation", E),
    ("motivation", "Motivation:", E),
    ("motivation", "Which problem makes this proposal", E),
    ("motivation", "As a reviewer, answer this question about the document, from what stands above:", E),
    ("motivation", "Answer this question about the document.", E),
    ("motivation", "Here is a part of a document:", E),
    ("motivation", "You are an experienced reviewer who reads papers with care.", E),
    ("motivation", PASSAGE, E),
    ("motivation", PASSAGE[:190], E),
    ("motivation", f"Here is a part of a document:\n\n{PASSAGE[:190]}", E),
    ("motivation", f"{PASSAGE}\n\nAs a reviewer, answer this question about the document", E),
    ("summary", "How would you sum up this document in a few sentences?\nHow would you sum up this document in a", E),
    # --- nothing that can be read
    ("motivation", "", M),
    ("motivation", "   \n ", M),
    ("motivation", "...", M),
    ("motivation", "?!", M),
    ("motivation", "**", M),
    ("motivation", "A", M),
    ("motivation", "�����", M),
    ("motivation", "}}}}{{{{;;;;::::a b", M),
    ("motivation", "they they they they they they they they they they", M),
    ("motivation", "TheseTheseTheseTheseTheseTheseTheseTheseTheseTheseThese", M),
    ("motivation", "the map the map the map the map the map the", M),
    ("motivation", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", M),
    ("motivation", "What do you think?", M),
    ("motivation", "What is a panorama? Who wrote it?", M),
    ("motivation", "Sure!", M),
    ("motivation", "Sure, here is the answer:", M),
    ("motivation", "Question:", M),
    ("motivation", "Answer:", M),
    ("motivation", "I hope this helps!", M),
    ("motivation", "<|im_end|>", M),
    ("motivation", "<think>I wonder which problem it is", M),
    # --- written when the rules were there
    (
        "motivation",
        "The document does not provide a clear answer to that. However, it mentions that plug-ins were needed.",
        A,
    ),
    ("motivation", "There is no clear motivation given in the passage.", R),
    ("motivation", "The passage provided does not give enough details to say.", R),
    ("motivation", "Sorry, I couldn't find anything about this in the passage.", R),
    ("results", "The passage doesn't really talk about results, only about how the viewer is built.", R),
    ("results", "Results are not given here, but a size of 21 kB is named.", A),
    ("results", "The study found no effect.", A),
    ("results", "It didn't work on phones.", A),
    ("fair_comparison", "It is not possible to say whether the comparison is fair.", R),
    ("fair_comparison", "Not really, since no other viewers are named.", A),
    ("fair_comparison", "The comparison cannot be judged from the passage.", R),
    ("use", "Anyone.", A),
    ("use", "No one knows yet.", A),
    ("open_problems", "There are no open problems mentioned.", R),
    ("open_problems", "No open problems are left.", A),
    ("open_problems", "The authors don't say which problems remain.", R),
    ("summary", "I'm happy to help! The document is about a panorama viewer.", A),
    ("summary", "In summary, Pannellum is a viewer.", A),
    ("summary", "The text above.", A),
    ("summary", "Summary:\nPannellum is a viewer of panoramas.", A),
    ("topic", "The topic of this document is not stated, but it seems to be panoramas.", A),
    ("topic", "What is this document about?\n\nWhat do the authors propose?", M),
    ("topic", "What is this document about? What is this document about? What is this document about?", E),
    (
        "topic",
        PASSAGE[:151],
        A,
    ),
    ("topic", "The answer is: panoramas", A),
    ("topic", "I believe the passage is about panoramas", A),
    ("topic", "We don't know what it's about.", R),
    ("topic", "Assistant: It is about panoramas.", A),
    ("topic", "It is about panoramas.\n\n---\n\nQuestion 2: What is WebGL?", A),
    ("topic", "[1] Panoramas in the browser", A),
    ("proposal", "I propose a new viewer.", A),
    ("proposal", "The author can't recommend plug-ins, so proposes WebGL.", A),
    ("approach", "They can't use Flash, so they use WebGL.", A),
    ("approach", "This is done by WebGL, which is not provided by old browsers.", A),
    ("approach", "You can find this information in section 3.", A),
    ("approach", "Please see the paper.", M),
]


def part(name: str, passage: str = PASSAGE) -> Part:
    return Part(name, ELEVEN[name]["question"], fields={"topic": ELEVEN[name]["topic"], "passage": passage})


def outcome(name: str, text: str) -> str:
    return KIND.read(Answer(text), part(name), TASK, PROMPT).outcome


@pytest.mark.parametrize(("name", "text", "label"), LABELLED, ids=range(len(LABELLED)))
def test_answers_are_read_as_they_were_labelled(name: str, text: str, label: str) -> None:
    assert outcome(name, text) == label


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("**Answer:** Pannellum is a viewer.", "Pannellum is a viewer."),
        ("What is this document about? It is about Pannellum.", "It is about Pannellum."),
        ("Topic: panoramas in the browser", "panoramas in the browser"),
        ("A viewer of panoramas.\nQuestion: What is WebGL?\nAnswer: An API.", "A viewer of panoramas."),
        ("It is a free viewer. It is a free viewer. It is a free viewer. It is", "It is a free viewer."),
        ('{"answer": "A viewer of panoramas"}', "A viewer of panoramas"),
        ("<think>hm</think>\n\nA  viewer\nof panoramas", "A viewer\nof panoramas"),
    ],
)
def test_what_was_answered_is_kept_without_what_stands_around_it(text: str, value: str) -> None:
    reading = KIND.read(Answer(text), part("topic"), TASK, PROMPT)
    assert reading.value == value
    assert reading.span is not None
    assert text[slice(*reading.span)].split() == value.split()


def test_a_topic_that_breaks_off_is_no_answer() -> None:
    assert outcome("own_takeaways", "7. Takeaways [15, 16, 5]") == E
    assert outcome("own_takeaways", "Takeaways for the") == E
    assert outcome("own_takeaways", "Takeaways: it is small and free.") == A


UNITS = ["(", "a ", "not ", "the passage does not say but ", "is not ", "\n", "1. ", "**", "{"]


@pytest.mark.parametrize("unit", UNITS)
def test_an_endless_answer_is_read_as_well(unit: str) -> None:
    assert outcome("topic", unit * (1_000_000 // len(unit))) != A  # in quadratic time, minutes
