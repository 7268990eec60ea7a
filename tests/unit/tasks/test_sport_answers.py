"""Answers of sports as models write them, labelled by hand before the reader saw them: 205, over two sets of labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import stats
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.data.readers.sport_art import SPORTS
from paceline.scoring import judge
from paceline.tasks.answers import Answers
from paceline.tasks.classification import fields, results, score
from paceline.tasks.kind import Answer
from paceline.tasks.panels import CellResult

HUNDRED = [
    " ".join(label.split())
    for label in """
    air hockey, ampute football, archery, arm wrestling, axe throwing, balance beam, barell racing, baseball,
    basketball, baton twirling, bike polo, billiards, bmx, bobsled, bowling, boxing, bull riding, bungee
    jumping, canoe slamon, cheerleading, chuckwagon racing, cricket, croquet, curling, disc golf, fencing,
    field hockey, figure skating men, figure skating pairs, figure skating women, fly fishing, football,
    formula 1 racing, frisbee, gaga, giant slalom, golf, hammer throw, hang gliding, harness racing, high
    jump, hockey, horse jumping, horse racing, horseshoe pitching, hurdles, hydroplane racing, ice climbing,
    ice yachting, jai alai, javelin, jousting, judo, lacrosse, log rolling, luge, motorcycle racing, mushing,
    nascar racing, olympic wrestling, parallel bar, pole climbing, pole dancing, pole vault, polo, pommel
    horse, rings, rock climbing, roller derby, rollerblade racing, rowing, rugby, sailboat racing, shot put,
    shuffleboard, sidecar racing, ski jumping, sky surfing, skydiving, snow boarding, snowmobile racing, speed
    skating, steer wrestling, sumo wrestling, surfing, swimming, table tennis, tennis, track bicycle, trapeze,
    tug of war, ultimate, uneven bars, volleyball, water cycling, water polo, weightlifting, wheelchair
    basketball, wheelchair racing, wingsuit flying
    """.replace("\n", " ").split(",")
]
PROMPT = PromptSpec(name="p", text="What sport is in this image?")
TASK = TaskSpec(name="sports", kind="classification", target="{label}", evaluate=["test"])


def reading(text: str, labels: list[str]) -> tuple[str, Any]:
    sample = {"label": labels[0], "labels": labels}
    (part,) = fields.parts(sample, TASK, PROMPT)
    told = score.read(Answer(text), part, TASK, PROMPT)
    return told.outcome, told.value


def holds(text: str, expected: str, labels: list[str]) -> None:
    outcome, value = reading(text, labels)
    if expected in ("malformed", "refused"):
        assert (outcome, value) == (expected, None)
    elif expected:
        assert (outcome, value) == ("parsed", expected)
    else:  # unread, in whichever way
        assert outcome != "parsed"


OF_FIFTY = [
    ("Sport: Ice Hockey.", "ice hockey"),
    ("ice-skating", "ice skating"),
    ("football (soccer)", "soccer"),
    ("**Tennis**", "tennis"),
    ('```json\n{"sport": "table tennis"}\n```', "table tennis"),
    ('{"sport": "Tennis", "confidence": 0.92}', "tennis"),
    ('{"label": "table tennis", "alternatives": ["tennis"]}', "malformed"),
    (
        "<think>A table. It could be badminton but the table suggests table tennis.</think>\nTable tennis",
        "table tennis",
    ),
    ("I'm sorry, but I can't identify the sport in this image.", "refused"),
    ("I cannot see any image.", "refused"),
    ("TENNIS", "tennis"),
    ("tennis!", "tennis"),
    ("The sport shown is *ice hockey*.", "ice hockey"),
    ("The sport depicted in the image is American football.", "american football"),
    ("American Football", "american football"),
    ("Football", "malformed"),
    ("The person is riding a wave on a surfboard, so this is surfing.", "surfing"),
    ("Based on the image, the sport is rowing. Two people are in a boat, not a canoe.", "rowing"),
    ("It's badminton – you can tell from the shuttlecock.", "badminton"),
    ("Not tennis but badminton.", "badminton"),
    ("Badminton (not tennis)", "badminton"),
    ("Badminton or tennis", "malformed"),
    ("badminton/tennis", "malformed"),
    ("Tennis, badminton, table tennis", "malformed"),
    ("I think it is golf.", "malformed"),
    ("Probably golf", "malformed"),
    ("Golf, I believe.", "malformed"),
    ("Golf. The man is swinging a golf club.", "golf"),
    ("1. Golf", "golf"),
    ("- golf", "golf"),
    ("Answer: golf", "golf"),
    ("The answer is: **Golf**.", "golf"),
    ("Final answer: \\boxed{golf}", "golf"),
    ("<answer>golf</answer>", "golf"),
    ("golf</s>", "golf"),
    ("Golf<|im_end|>", "golf"),
    ("", ""),
    ("?", ""),
    ("I don't know", "refused"),
    ("unknown", "refused"),
    ("ice  hockey", "ice hockey"),
    ("ice_hockey", "ice hockey"),
    ("Ice‑hockey", "ice hockey"),
    ("ice hockey", "ice hockey"),
    ("“Ice hockey”", "ice hockey"),
    ("ＧＯＬＦ", "golf"),
    ("hockey", "malformed"),
    ("ping-pong", "table tennis"),
    ("Ping Pong", "table tennis"),
    ("pool", "billiards"),
    ("A pool of water with swimmers: swimming.", "swimming"),
    ("a woman swimming in a pool", "swimming"),
    ("weight lifting", "weightlifting"),
    ("Weight-lifting", "weightlifting"),
    ("wrestlers", ""),
    ("skateboard", "skateboarding"),
    ("She is skateboarding.", "skateboarding"),
    ("snowboarding, not skiing", "snowboarding"),
    ("This isn't skiing; it's snowboarding.", "snowboarding"),
    ("It is neither skiing nor snowboarding.", ""),
    ("Skiing or snowboarding? Skiing.", "skiing"),
    ("Is this tennis?", "malformed"),
    ("The image could be of fencing.", "malformed"),
    ("It appears to be fencing.", "malformed"),
    ("This seems to be fencing", "malformed"),
    ("martial arts (karate)", "martial arts"),
    ("Karate", "martial arts"),
    ("Taekwondo.", "martial arts"),
    ("judo", ""),
    ("Horse racing", "horse racing"),
    ("a horse race", "horse racing"),
    ("horse riding", "horse racing"),
    ("cross-country skiing", "skiing"),
    ("water polo is what the person is playing.", "water polo"),
    ("men are playing Aussie rules football", ""),
    ("Soccer (association football)", "soccer"),
    ("association football, also known as soccer", "soccer"),
    ("kite surfing", ""),
    ("wind-surfing", ""),
    ("windsurfing", ""),
    ("inline skating", "roller skating"),
    ("downhill mountain biking", "mountain biking"),
    ("biking", "cycling"),
    ("He is mountain-biking, which is a kind of cycling", ""),
    ("figure skating", "ice skating"),
]
OF_HUNDRED = [
    ("This looks like a basketball game, not volleyball", "basketball"),
    ("Sport: Ice Hockey.", "hockey"),
    ("bob sleigh", "bobsled"),
    ("football (soccer)", "malformed"),
    ("a man playing tennis on a court", "tennis"),
    ("either surfing or kitesurfing", "malformed"),
    ("Football", "football"),
    ("soccer", "malformed"),
    ("This is a game of American football, in which two teams of eleven players compete.", "football"),
    ("polo", "polo"),
    ("water polo", "water polo"),
    ("Water Polo: a swimmer throws the ball", "water polo"),
    ("wheelchair basketball", "wheelchair basketball"),
    ("Wheelchair Basketball is not the same as basketball; this is wheelchair basketball.", "wheelchair basketball"),
    ("snowboarding", "snow boarding"),
    ("snow-boarding", "snow boarding"),
    ("Ultimate Frisbee", "ultimate"),
    ("frisbee", "frisbee"),
    ("rings", "rings"),
    ("A boxer in the ring: boxing", "boxing"),
    ("gymnastics on the rings", "rings"),
    ("gymnastics", "malformed"),
    ("pole vaulting", "pole vault"),
    ("Pole-vaulting competition", "pole vault"),
    ("men's figure skating", "figure skating men"),
    ("Figure skating (women)", "figure skating women"),
    ("Women's figure skating", "figure skating women"),
    ("figure skating", "malformed"),
    ("Figure skating - pairs", "figure skating pairs"),
    ("bicycle motocross (BMX)", "bmx"),
    ("BMX racing", "bmx"),
    ("Formula One", "formula 1 racing"),
    ("F1 race car", "formula 1 racing"),
    ("NASCAR", "nascar racing"),
    ("car racing", "malformed"),
    ("dog sledding (mushing)", "mushing"),
    ("sled dog race", "mushing"),
    ("sumo", "sumo wrestling"),
    ("Sumo wrestlers are facing each other; sumo wrestling.", "sumo wrestling"),
    ("wrestling", "malformed"),
    ("Olympic wrestling, not sumo wrestling", "olympic wrestling"),
    ("shot-put", "shot put"),
    ("hammer throwing", "hammer throw"),
    ("javelin throw", "javelin"),
    ("canoe slalom", "canoe slamon"),
    ("canoeing", "malformed"),
    ("kayaking", "malformed"),
    ("barrel racing", "barell racing"),
    ("amputee football", "ampute football"),
    ("sailing", "sailboat racing"),
    ("a sailboat race", "sailboat racing"),
    ("hurdle", "hurdles"),
    ("110m hurdles", "hurdles"),
    ("The athletes are jumping over hurdles.", "hurdles"),
    ("track and field", ""),
    ("cycling", "malformed"),
    ("track cycling", "track bicycle"),
    ("uneven bars (gymnastics)", "uneven bars"),
    ("parallel bars", "parallel bar"),
    ("uneven parallel bars", "uneven bars"),
    ("tug-of-war", "tug of war"),
    ("jai-alai", "jai alai"),
    ("Luge or bobsleigh - hard to say.", "malformed"),
    ("The sport is definitely bobsledding", "bobsled"),
    ("Air hockey table", "air hockey"),
    ("field hockey", "field hockey"),
    ("No, this is field hockey.", "field hockey"),
    ("rock-climbing", "rock climbing"),
    ("Climbing", "malformed"),
    ("Giant Slalom (alpine skiing)", "giant slalom"),
    ("Ski jumping 🎿", "ski jumping"),
    ("🏀", ""),
    ("Le basket-ball", "basketball"),
    ("The image does not show a sport.", ""),
    ("The image doesn't show tennis, it shows table tennis.", "table tennis"),
    ("This picture can't be tennis because there is a table; it's table tennis", "table tennis"),
    ("Sport: table tennis\nEquipment: paddle, ball\nConfidence: high", "table tennis"),
    ("**Sport:** Archery\n**Reasoning:** the woman draws a bow.", "archery"),
    ("| sport | archery |", "archery"),
    ("Sport = archery", "archery"),
    ("archery.\n\narchery.\n\narchery.", "archery"),
    ("archery, archery, archery", "archery"),
    ('The sport in the picture is called "cricket".', "cricket"),
    ("cricket bat", "cricket"),
    ("the athlete is competing in high jump", "high jump"),
    ("skydiving (parachuting)", "skydiving"),
    ("Wingsuit flying rather than skydiving", "wingsuit flying"),
    ("Step 1: There is a horse. Step 2: There is a mallet. Therefore: polo", "polo"),
    ("At first glance this looks like tennis. However, the racket is a paddle. Answer: table tennis", "table tennis"),
    ("At first glance it is tennis, but on closer look it's badminton", ""),
    ("['golf']", "golf"),
    ('["golf", "disc golf"]', "malformed"),
    ("disc golf", "disc golf"),
    ("Disc golf (frisbee golf)", "disc golf"),
    ("As an AI language model, I cannot identify sports, but it's likely tennis.", ""),
    ("I can't tell whether it's tennis or table tennis.", ""),
    ("I'm not able to view images. If it shows a racket, tennis.", ""),
    ("Sure! The sport is volleyball.", "volleyball"),
    ("Beach volleyball", "volleyball"),
    ("This is a photo of people playing a sport.", ""),
    ("a baseball player swinging a bat at a ball", "baseball"),
    ("A football player running with the ball in a rugby match", "malformed"),
    ("bull riding at a rodeo", "bull riding"),
    ("rodeo", "malformed"),
    ("steer-wrestling", "steer wrestling"),
    ("snooker", "billiards"),
    ("Volley-ball", "volleyball"),
    ("Base-ball", "baseball"),
    ("\u200bgolf", "golf"),
    ("golf\xa0", "golf"),
    ("Golf；", "golf"),
    ("答案：golf", "golf"),
    ("Golf — the green and the flag make it clear.", "golf"),
    ("Definitely not golf.", ""),
    ("definitely golf", "golf"),
    ("without a doubt golf", "golf"),
    ("99% golf", "golf"),
    ("golf 60%, tennis 40%", "malformed"),
    ("Golf? Yes, golf.", "golf"),
    ("Sport name: rugby union", "rugby"),
]


@pytest.mark.parametrize(("text", "expected"), OF_FIFTY)
def test_answers_of_fifty_sports_are_read_as_a_careful_person_reads_them(text: str, expected: str) -> None:
    holds(text, expected, sorted(SPORTS))


@pytest.mark.parametrize(("text", "expected"), OF_HUNDRED)
def test_answers_of_a_hundred_sports_are_read_as_a_careful_person_reads_them(text: str, expected: str) -> None:
    holds(text, expected, HUNDRED)


def test_an_ambiguous_word_is_settled_by_a_name_of_one_of_its_meanings_and_by_no_alternative_or_negation() -> None:
    art = sorted(SPORTS)
    assert reading("wrestling (sumo wrestling)", HUNDRED)[1] == "sumo wrestling"
    assert reading("Hockey: it is played on ice, so ice hockey.", art)[1] == "ice hockey"
    for text in (
        "hockey, not field hockey",
        "football or soccer",
        "football/soccer",
        "hockey: ice hockey, field hockey",
    ):
        assert reading(text, art) == ("malformed", None)


def test_a_name_of_another_thing_counts_against_a_label_and_is_ruled_out_as_a_label_is() -> None:
    assert reading("Soccer, also called football", HUNDRED) == ("malformed", None)
    assert reading("Not soccer but football", HUNDRED) == ("parsed", "football")
    assert reading("windsurfing", ["sailing", "surfing"]) == ("malformed", None)
    assert reading("windsurfing", ["surfing", "windsurfing"]) == ("parsed", "windsurfing")
    assert reading("a man windsurfing", ["man", "woman"]) == ("parsed", "man")  # no sports: no other thing


ANSWERS = st.sampled_from([text for text, _ in OF_FIFTY + OF_HUNDRED]) | st.sampled_from(HUNDRED) | st.text(max_size=30)


@given(st.lists(st.tuples(st.sampled_from(HUNDRED), ANSWERS), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_refused_unread_wrong_and_right_are_all_of_each_class_and_of_all(pairs: list[tuple[str, str]]) -> None:
    samples = [{"id": str(n), "split": "test", "label": label, "labels": HUNDRED} for n, (label, _) in enumerate(pairs)]
    records = [{"sample": str(n), "text": text} for n, (_, text) in enumerate(pairs)]
    scores, metrics = judge.judge(Config(task=TASK, prompt=PROMPT), records, samples)
    shares = [
        metrics["metrics"][name]["value"] for name in ("accuracy", "wrong_share", "refused_share", "malformed_share")
    ]
    assert sum(shares) == pytest.approx(1)
    for one, (label, text) in zip(scores, pairs, strict=True):
        # What is read does not depend on the truth, and only what is read is right.
        outcome, value = reading(text, HUNDRED)
        assert one["outcome"] == outcome
        assert bool(one["scores"]["right"]) == (outcome == "parsed" and value == label)


def cell(method: str, right: list[bool], labels: list[str], groups: tuple[str, ...] = ()) -> CellResult:
    n = len(right)
    columns = {"class": tuple(f'"{label}"' for label in labels), "label": ('"x"',) * n}
    scores = {"right": np.array(right, dtype=float), "exact": np.zeros(n)}
    answers = Answers(tuple(map(str, range(n))), ("parsed",) * n, scores, columns, groups)
    return CellResult(method, method, lambda: answers, model="m", prompt="p", method=method)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from("abc")), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_flips_are_a_naive_recount_and_the_classes_add_up_to_all_samples(rows: list[tuple[bool, bool, str]]) -> None:
    from scipy.stats import binomtest

    before, after = (
        cell(name, [row[i] for row in rows], [row[2] for row in rows]) for i, name in enumerate(("untuned", "lora"))
    )
    (row,) = results.flip_table(results.flips([before, after])).rows
    naive = Counter((was, now) for was, now, _ in rows)
    gained, lost = naive[False, True], naive[True, False]
    assert row[2:7] == (len(rows), gained, lost, naive[True, True], naive[False, False])
    exact = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert row[7] == pytest.approx(exact)
    assert stats.holm([exact]) == pytest.approx([exact])
    classes = results.per_class(after).rows
    assert sum(int(str(one[1])) for one in classes) == len(rows)
