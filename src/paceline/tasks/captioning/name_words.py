"""Words that tell whether a capital letter makes a name: those of ordinary English, and those of kinds of things."""

from __future__ import annotations


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


SMALL = _listed("""
    a an the of in on at by for with and or but nor to from into onto over under up down out off is are was were be
    as his her their its vs v near while during after before behind beside between through against around across
    along above below without within
""")
"""Words that titles leave in small letters."""

STARTERS = SMALL | _listed("""
    i we you he she it they this that these those there here who what where when why how which one two three four
    five six seven eight nine ten eleven twelve several some many few most all both each every another other others
    no none not nobody someone somebody everyone everybody something nothing anyone my our your yes oh ok okay
    please sure note then now so if because although though once also only just very still even inside outside next
""")
"""Words that begin sentences and no names."""

COMMON = STARTERS | _listed("""
    man men woman women boy boys girl girls child children kid kids baby toddler person people guy guys lady ladies
    adult adults teen teenager teenagers couple pair group groups crowd crowds team teams player players athlete
    athletes runner runners cyclist cyclists biker rider riders skier skiers snowboarder skater skateboarder surfer
    swimmer diver climber gymnast golfer boxer wrestler pitcher batter catcher goalie goalkeeper coach referee
    umpire spectator spectators fan fans worker workers musician singer dancer dancers artist student students
    teacher friend friends family mother father mom dad son daughter brother sister bride groom soldier soldiers
    police officer dog dogs cat cats puppy horse horses bird birds animal animals cow sheep car cars truck bus buses
    train bike bicycle motorcycle boat ball tennis football soccer baseball basketball hockey golf rugby volleyball
    cricket swimming boxing game match race sport sports field court street road beach park city water snow grass
    tree trees mountain house building sign picture photo photograph image caption close closeup view shot portrait
    young old older elderly little small large big tall short long new red blue green yellow black white brown grey
    gray orange purple pink dark bright colorful happy smiling wet dirty beautiful blond blonde bald bearded
    shirtless male female indoor outdoor professional amateur stop exit open closed sale taxi bank hotel cafe shop
    wheel hat plays play playing sits sit stands stand walks walk runs run jumps jump rides ride holds hold wears
    wear
""")
"""Ordinary words: one of them alone is no name, with whatever letters it is written."""

KINDS = _listed("""
    tv dvd cd dj bbq atv bmx suv rv pc led lcd uv id vip mc am pm ad bc gps vr diy mma usb ac xl xxl swat tnt
    frisbee jeep jacuzzi velcro polaroid lego jenga spandex lycra styrofoam rollerblade rollerblading hula labrador
    dalmatian rottweiler chihuahua dachshund pomeranian corgi collie retriever terrier shepherd husky poodle asian
    caucasian hispanic african latino latina
""")
"""Words that are spelled with a capital, in their singular, and name no person, place or event."""

KIND_PHRASES = {
    "african": "american americans",
    "american": "football footballs",
    "christmas": "tree trees light lights hat",
    "ferris": "wheel wheels",
    "french": "fries bulldog toast horn",
    "german": "shepherd shepherds",
    "great": "dane danes",
    "jack": "russell russells",
    "jet": "ski skis",
    "saint": "bernard bernards",
    "st": "bernard bernards",
}
"""Word -> those that make with it the name of a kind."""

TITLES = _listed("""
    mr mrs ms miss dr prof sir st jr sr mt ft coach president captain king queen prince princess
""")
"""What stands before a name and is none; in comparisons they are left out."""

ABBREVIATIONS = _listed("""
    mr mrs ms dr prof st jr sr mt ft no nos vs v
""")
"""A full stop behind them ends no sentence."""

CONNECTING = _listed("""
    of the de da do di du del della la le el al van von der den ter bin dos das y e
""")
"""Small words that hold a name together between words with capitals."""

BEFORE_OF = _listed("""
    academy art bank battle bay bridge cape castle cathedral church city college council cup day department duke
    festival gate gulf hall house institute island isle kingdom lady lake league library lord ministry mount
    mountain museum order palace park people prince princess queen king republic river school society state states
    statue temple tour tower tree union university valley
""")
"""Words that ``of`` goes on with in one name: ``University of Texas``, but not ``Messi of Barcelona``."""

NATIONS = {
    "germany": "german",
    "spain": "spanish",
    "france": "french",
    "england": "english",
    "britain": "british",
    "uk": "british",
    "netherland": "dutch",
    "holland": "dutch",
    "ireland": "irish",
    "scotland": "scottish",
    "wale": "welsh",
    "turkey": "turkish",
    "poland": "polish",
    "denmark": "danish",
    "finland": "finnish",
    "norway": "norwegian",
    "portugal": "portuguese",
    "switzerland": "swiss",
    "greece": "greek",
    "thailand": "thai",
    "us": "american",
    "usa": "american",
    "america": "american",
}
"""Nations whose adjective is not told by its ending, in the form of :func:`.proper_names.normal`."""

ADJECTIVES = ("n", "an", "ian", "ean", "ish", "ese")
ENDINGS = (*ADJECTIVES, "", "a", "e", "i", "o", "y", "en")
"""Ending of the adjective of a place; and those of the place: Brazil, Brazilian; Italy, Italian."""
