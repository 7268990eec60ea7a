"""Invented names and numbers in captions: what is found, what is known by the references, on realistic captions."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_caption_figures import CONFIG, KIND, sample

from paceline.scoring.judge import judge
from paceline.tasks.captioning.invented import invented
from paceline.tasks.captioning.proper_names import names, normal, tells
from paceline.tasks.captioning.stated_numbers import known, numbers

# A caption, the names in it and the numbers in it, as a careful reader lists them; "-" where its capitals tell none.
CAPTIONS: list[tuple[str, str, str]] = [
    # names of the study's kind
    ("Roger Federer during the match between Switzerland and Spain.", "Roger Federer | Switzerland | Spain", ""),
    ("Lionel Messi of FC Barcelona scores a goal.", "Lionel Messi | FC Barcelona", ""),
    (
        "A player kicks the ball during the match between Real Madrid and Manchester United.",
        "Real Madrid | Manchester United",
        "",
    ),
    (
        "Tiger Woods tees off at the 2013 Masters Tournament in Augusta.",
        "Tiger Woods | Masters Tournament | Augusta",
        "2013",
    ),
    (
        "The Lakers play the Boston Celtics in Game 7 of the NBA Finals.",
        "Lakers | Boston Celtics | NBA Finals",
        "7",
    ),
    ("A swimmer at the Olympic Games in Rio de Janeiro.", "Olympic Games | Rio de Janeiro", ""),
    ("Michael Phelps wins his 21st gold medal.", "Michael Phelps", "21st"),
    ("LeBron James dunks over a defender.", "LeBron James", ""),
    ("LeBron dunks over a defender.", "LeBron", ""),
    ("A woman hits the ball at the U.S. Open in New York.", "U.S. Open | New York", ""),
    ("A man wearing number 23 shoots a basketball.", "", "23"),
    ("Player No. 7 runs with the ball.", "", "7"),
    ("Number 10 of Brazil celebrates.", "Brazil", "10"),
    ("The team won 3-0 against Germany.", "Germany", "3-0"),
    ("Chelsea's Frank Lampard, right, fights for the ball.", "Frank Lampard", ""),
    ("A boxer fights Mike Tyson at Madison Square Garden.", "Mike Tyson | Madison Square Garden", ""),
    ("Skateboarder Tony Hawk jumps over a rail.", "Tony Hawk", ""),
    ("Coach Carter yells at a referee.", "Carter", ""),
    ("Mr. Smith and Dr. Jones watch the race.", "Mr. Smith | Dr. Jones", ""),
    ("A portrait of J. K. Rowling reading.", "J. K. Rowling", ""),
    ("A man named O'Neill rides for Team Sky.", "O'Neill | Team Sky", ""),
    ("The St. Louis Cardinals play the Chicago Cubs.", "St. Louis Cardinals | Chicago Cubs", ""),
    ("A climber near the top of Mount Everest in May.", "Mount Everest | May", ""),
    ("A race on a Sunday in October.", "Sunday | October", ""),
    ("A student of the University of Texas plays chess.", "University of Texas", ""),
    ("A child dressed as Spider-Man.", "Spider-Man", ""),
    ("A runner with a Nike-branded shirt drinks Coca-Cola.", "Nike | Coca-Cola", ""),
    ("A crowd at the FIFA World Cup 2014.", "FIFA World Cup", "2014"),
    ("An Audi R8 leads the F1 race.", "Audi R8 | F1", ""),
    ("Usain Bolt (JAM) runs 100 m in 9.58 s.", "Usain Bolt | JAM", "100 | 9.58"),
    ("A pair of German players in red.", "German", ""),
    ("São Paulo fans cheer for Müller in Łódź.", "São Paulo | Müller | Łódź", ""),
    ("A surfer rides a wave in Hawaii 🏄 #Pipeline", "Hawaii | Pipeline", ""),
    ("USA vs GER", "USA | GER", ""),
    # sentence starts
    ("Messi scores a goal.", "", ""),
    ("Federer serves. The crowd cheers for Federer.", "Federer", ""),
    ("Baseball is played. Players wear white.", "", ""),
    ("A boy runs. He is fast! Who knows? Nobody.", "", ""),
    ("A sign reads: Welcome to the beach.", "", ""),
    ("A sign says “Welcome” in big letters.", "", ""),
    ("In Paris, people ride bikes.", "Paris", ""),
    ("Two Germans drink beer.", "Germans", "Two"),
    ("NBA players warm up.", "NBA", ""),
    ("Young Americans wave flags.", "Americans", ""),
    ("A flag of the U.S. The man holds it.", "U.S.", ""),
    # no names
    ("I think I'm looking at a man.", "", ""),
    ("A man in a T-shirt and a V-neck sweater has an X-ray.", "", ""),
    ("A dog catches a Frisbee.", "", ""),
    ("A German Shepherd and a Dalmatian run.", "", ""),
    ("An African American man plays American football.", "", ""),
    ("Kids watch TV and eat French fries near a Ferris wheel.", "", ""),
    ("A BMX rider and an ATV driver.", "", ""),
    ("A boy holds a STOP sign.", "", ""),
    ("A Man in a blue shirt stands there.", "", ""),
    ("a man riding a wave on top of a surfboard", "", ""),
    ("messi scores in paris", "", ""),
    # capitals that tell nothing
    ("A MAN PLAYS TENNIS AT WIMBLEDON", "-", ""),
    ("A Man Riding A Wave On A Surfboard", "-", ""),
    ("Man Riding a Wave on a Surfboard in Hawaii", "-", ""),
    ("TWO MEN PLAY 3 GAMES", "-", "TWO | 3"),
    ("ein Bild", "Bild", ""),
    ("一个男人在打网球", "", ""),
    ("", "", ""),
    # numbers
    ("Two men and three women sit on four chairs.", "", "Two | three | four"),
    ("Twenty-one runners and two hundred and five fans.", "", "Twenty-one | two hundred and five"),
    ("About 1,000 people watch.", "", "1,000"),
    ("A dozen eggs and half a dozen plates.", "", "dozen | dozen"),
    ("Hundreds of fans, thousands of flags.", "", ""),
    ("One of the players stands on first base, a second later on third.", "", "third"),
    ("A two-wheeled cart and a four-wheeler in a 4x4 race in 3D.", "", ""),
    ("An 8-year-old and a five-year-old girl in her 20s.", "", "8 | five | 20s"),
    ("At 7:30 pm on 12/05/2014 it cost $5.50, 50% less.", "", "7:30 | 12/05/2014 | 5.50 | 50"),
    ("The final score was 3 – 0.", "", "3 – 0"),
    ("1. A man runs.", "", ""),
    ("Player #21 is 21 years old.", "", "21"),
    ("Jersey number one.", "", "one"),
    ("A photo from the 1990s of a man in his thirties.", "", "1990s | thirties"),
    ("The twenty-first lap.", "", "twenty-first"),
    ("Spieler ２３ läuft.", "", "２３"),
]


def listed(text: str) -> list[str]:
    return text.split(" | ") if text not in ("", "-") else []


@pytest.mark.parametrize(("caption", "expected_names", "expected_numbers"), CAPTIONS, ids=[c for c, _, _ in CAPTIONS])
def test_names_and_numbers_are_those_that_a_careful_reader_lists(
    caption: str, expected_names: str, expected_numbers: str
) -> None:
    assert [name.text for name in names(caption)] == listed(expected_names)
    assert [number.text for number in numbers(caption)] == listed(expected_numbers)
    assert tells(caption) == (expected_names != "-")
    found = invented(caption, ["qqq"])
    assert (list(found.names), list(found.numbers)) == (listed(expected_names), listed(expected_numbers))


@pytest.mark.parametrize(
    ("caption", "references", "question", "expected"),
    [
        ("Roger Federer serves.", ["ROGER FEDERER plays."], "", []),
        ("A man and Federer's racket.", ["federer hits a ball"], "", []),
        ("Fans of Müller in São Paulo.", ["Muller scores in Sao Paulo."], "", []),
        ("A match of Spain and Brazil.", ["Spanish and Brazilian players."], "", []),
        ("An Italian and a German player.", ["Players of Italy and Germany."], "", []),
        ("A flag of the USA.", ["An American flag.", "U.S.A."], "", []),
        ("A match of Spain and Brazil.", ["Two players."], "", ["Spain", "Brazil"]),
        ("A fan of the Lakers.", ["A Laker throws."], "", []),
        ("Someone dressed as Spider-Man.", ["A spiderman costume."], "", []),
        ("Someone dressed as Spiderman.", ["A Spider-Man costume."], "", []),
        ("A player of Real Madrid.", ["A match in Madrid."], "", ["Real Madrid"]),
        ("A man at Wembley.", ["A man."], "Who plays at Wembley in 2014?", []),
        ("A man at Wembley in 2014.", ["A man."], "", ["Wembley", "2014"]),
        ("Two dogs and 3 cats.", ["2 dogs", "three cats"], "", []),
        ("The 21st lap.", ["The twenty-first lap"], "", []),
        ("Two people.", ["A man and a woman."], "", []),
        ("Three people.", ["A man, a woman and a child."], "", []),
        ("Three people.", ["A man and a woman."], "", ["Three"]),
        ("Two people.", ["A couple walks."], "", []),
        ("Number 23 shoots.", ["A player in a jersey with a 23 on it."], "", []),
        ("Number 23 shoots.", ["A player, wearing #32."], "", ["23"]),
        ("It ends 3-0.", ["A 3:0 victory"], "", []),
        ("It ends 3-1.", ["A 3:0 victory"], "", ["3-1"]),
        ("1,000 fans", ["one thousand fans"], "", []),
        ("007", ["agent 7"], "", []),
    ],
)
def test_what_a_reference_or_the_question_states_in_another_spelling_is_not_invented(
    caption: str, references: list[str], question: str, expected: list[str]
) -> None:
    found = invented(caption, references, question)
    assert [*found.names, *found.numbers] == expected


WORDS = """
a The Messi of NBA I U.S. 23 two hundred and - one 3-0 T-shirt . “ 's St. TV twenty dozen 🏀 é Spain's half German
shepherd van
"""
TEXT = st.text(max_size=200) | st.lists(st.sampled_from(WORDS.split()), max_size=20).map(" ".join)


@given(TEXT, TEXT)
def test_a_caption_invents_nothing_against_itself_and_no_more_against_more_references(caption: str, other: str) -> None:
    same = invented(caption, [caption])
    assert (same.names, same.numbers) == ((), ())
    alone, more = invented(caption, ["x"]), invented(caption, ["x", other])
    assert set(more.names) <= set(alone.names)
    assert set(more.numbers) <= set(alone.numbers)
    assert invented(caption, ["x"], other) == more
    assert {name.text for name in names(caption)} >= set(alone.names)


@given(TEXT)
def test_small_letters_tell_no_name_and_the_same_numbers(text: str) -> None:
    small = unicodedata.normalize("NFKC", text).lower()  # in this order: 𝞐 has a small letter only once it is an Α
    assert names(small) == ()
    assert all(number.parts and known((number.text,)) for number in numbers(text))


@given(st.text(max_size=30))
def test_a_normal_word_stays_as_it_is(word: str) -> None:
    assert normal(word.upper().lower()) == normal(word.upper())
    assert normal(word) == normal(f"{word}'s") or not word


@pytest.mark.parametrize(
    "piece",
    [
        "Messi of ",
        "of ",
        "A.",
        "Aa-",
        "3-",
        "3 - ",
        "1,000,",
        "two hundred and ",
        "a man and a ",
        "O'",
        ". A",
        "“A",
        "9",
    ],
)
def test_a_very_long_caption_is_read_in_no_time(piece: str) -> None:
    text = (piece * 20_000)[:20_000]
    invented(text, [text, "x"])


def test_shares_are_over_the_captions_that_were_read_and_tell_names() -> None:
    samples = [sample(name, ["A man plays tennis."]) for name in "abcdef"]
    texts = ["Roger Federer plays in 2013.", "A man plays.", "A MAN PLAYS", "", "a man", "Two men at Wembley, London."]
    answers = [{"sample": s["id"], "text": text} for s, text in zip(samples, texts, strict=True)]
    records, content = judge(CONFIG, answers, samples)
    assert [r["scores"]["invents_name"] for r in records] == [True, False, None, None, False, True]
    assert [r["scores"]["invents_number"] for r in records] == [True, False, False, None, False, True]
    assert [r.get("details") for r in records] == [
        {"invented": ["Roger Federer", "2013"]},
        *[None] * 4,
        {"invented": ["Wembley", "London", "Two"]},
    ]
    metrics = content["metrics"]
    assert (metrics["invented_name_share"]["value"], metrics["invented_name_share"]["n"]) == (0.5, 4)
    assert (metrics["invented_number_share"]["value"], metrics["invented_number_share"]["n"]) == (0.4, 5)
    assert metrics["invented_per_caption"]["value"] == 5 / 4
    assert KIND.answers(records).columns["invented"][5] == ("Wembley", "London", "Two")


def test_of_a_model_that_writes_in_small_letters_no_names_can_be_told() -> None:
    samples = [sample(name, ["A man."]) for name in "ab"]
    records, content = judge(CONFIG, [{"sample": s["id"], "text": "messi in 2013"} for s in samples], samples)
    assert [r["scores"]["invents_name"] for r in records] == [None, None]
    assert content["metrics"]["invented_name_share"]["value"] is None
    assert content["metrics"]["invented_number_share"]["value"] == 1.0
