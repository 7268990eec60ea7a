"""The phrases that give the role of a pair in an answer: the final answer, a comparison, or none.

TAG, FINAL, CHOICE and REFUSAL are searched in the whole text, so each of their repetitions is bounded; the others see a
window of bounded length. Both keep the time linear.
"""

from __future__ import annotations

import re

from paceline.tasks.geolocation.coordinates.languages import REFUSES
from paceline.tasks.geolocation.coordinates.words import BOXED, words

SENTENCE_END = re.compile(
    r"(?<!\bapprox)(?<!\be\.g)(?<!\bi\.e)(?<!\bca)(?<!\bvs)(?<!\bcf)(?<!\bSt)(?<!\blat)(?<!\blon)[.!?](?=[ \n])|\n"
)
TAG = re.compile(
    r"<\|? ?(?:final ?answer|final|answer|result|output|coordinates?|coords|location|gps) ?\|?>"
    r"|\[ ?(?:final )?answer ?\]|" + BOXED,
    re.IGNORECASE,
)
FINAL = re.compile(
    r"\bfinal (?:answer|coordinates?|coords|estimate|estimation|guess|location|prediction|decision|response|output|"
    r"result|conclusion|choice|pair|verdict|pick)\b"
    r"|(?:(?<=\n)|(?<=[.!?#:] )|^)(?:the |my |so,? (?:the|my) )?(?:answer|conclusion)(?= ?(?:is\b|:|\n))"
    r"|\b(?:my|the) (?:\w{1,12} )?answer (?=is\b|would be\b)",
    re.IGNORECASE,
)
FORWARD = re.compile(
    r"""[ "')>\]]{0,4}(?:\([^)\n]{0,40}\) ?)?(?:(?:[a-z']{1,14} ){0,6}(?:is|are|be|:)(?![a-z])"""
    r"""|[:=\n\-—→]|[\d(\[{+]|\ue000)""",
    re.IGNORECASE,
)
BACKWARD = re.compile(r"\b(?:is|as|be|are) (?:my |the |our )?$", re.IGNORECASE)

# Cues straight before a pair; "name" gaps of a few words may stand between. Hard ones make it no answer at all.
HARD_CUE = re.compile(
    r"\b(?:geodesic|haversine|vincenty|unlike|instead of|rather than|as opposed to|not to be confused with|"
    r"e ?\. ?g ?\.?|for example|for instance|excluding|except|ignore|disregard|forget|corrected from|"
    r"(?:first|initially|originally) (?:wrote|said|answered|had)|"
    r"(?:earlier|previous|first|initial|old) (?:answer|guess|estimate|coordinates) (?:of|was|were)|"
    r"if (?:it|this|that|the (?:photo|image|picture)) were)\b[ .,:;(]{0,3}"
    r"(?P<gap>[^.;:!?\n]{0,70}:? ?)$",
    re.IGNORECASE,
)
SOFT_CUE = re.compile(
    r"\b(?:compared (?:to|with)|comparable to|in comparison (?:to|with)|similar to|resembl(?:es|ing|e)|reminiscent of|"
    r"reminds (?:me )?of|in contrast (?:to|with)|contrary to|versus|vs|such as|different from|differs from|"
    r"far from|away from|(?:km|kilomet(?:er|re)s|miles) (?:from|(?:north|south|east|west) of)|more like|"
    r"than|compare|distance (?:to|from)|cf|looks? like|feels? like|analogous to|akin to|"
    r"confused? (?:it )?with|mistaken for|opposite of|antipode of|not far from|like those in|like in)\b[ .,:;(]{0,3}"
    r"(?P<gap>[^.;:!?\n]{0,60}:? ?)$",
    re.IGNORECASE,
)
SOFT_SENTENCE = re.compile(
    r"\b(?:alternative(?:ly)?|alternatives|could also|might also|may also|another (?:possib\w*|option|candidate|guess)|"
    r"other (?:possib\w*|candidates?|options?|guess\w*)|"
    r"(?:second|third|fourth|2nd|3rd|4th|5th|next)[- ](?:guess|choice|best|option|candidate|possibility)|"
    r"secondary|tertiary|runner-up|less likely|"
    r"for (?:reference|comparison|context)|(?:was |were )?consider(?:ed|ing)|contemplated|weighed|"
    r"thought (?:about|of)|by comparison|in comparison|(?:in|by) contrast|"
    r"(?:as a )?reference point|backup|fallback|previously|initially|at first|first thought|originally|"
    r"(?:earlier|first|initial|previous) (?:guess|thought|idea|answer|estimate))\b(?P<gap>.*)$",
    re.IGNORECASE,
)
RELATION = re.compile(
    r"(?:\((?:but |while )?[A-Z][^().;:!?\n]{0,40} (?:would be|is|lies|has)(?: at)?|\b(?:near|nearby|close to|next to|"
    r"(?<!\bis )(?<!\bwas )(?<!\bare )(?<!\bbe )(?<!\btaken )from|than|"
    r"(?:north|south|east|west|km|miles) of|(?:while|whereas) [^.;\n]{0,40}"
    r"(?:is|lies|would be|at)|beside|"
    r"(?:km|kilomet(?:er|re)s|miles) away,? (?:has|is|lies|with|at)(?: at)?))\b(?P<gap>[^.;:!?\n]{0,45})$",
    re.IGNORECASE,
)
NOT = re.compile(
    r"\b(?:[Nn]ot|isn't|wasn't|[Nn]either|nor|[Nn]ever)(?: (?:in|at|near|from|around|the|to|located|actually))*"
    r"(?P<names>(?:,? [A-Z][\w'-]{0,30}| of| de| the){0,6})(?: at| is at)?[ ,:(\[]{0,3}$"
)
# A box: its corners, and what says that one follows.
BOX = re.compile(r"\b(?:bounding box|bbox|bounds|box|extent|viewport|rectangle|polygon)\b", re.IGNORECASE)
CORNER = re.compile(
    r"\b(?:sw|ne|nw|se|(?:south|north)[- ]?(?:west|east)(?:ern)?|(?:top|bottom|upper|lower)[- ]?(?:left|right))"
    r"(?: (?:corner|bound|point|vertex|edge))?(?: (?:is|at)){0,2} ?[:=]? ?$",
    re.IGNORECASE,
)
END_OF_BOX = re.compile(r"[\"'](?:low|high|min|max|lower|upper|start|end|top|bottom)$", re.IGNORECASE)
BOX_LEAD = re.compile(
    r"\b(?:min|max|minimum|maximum|(?:lower|upper) bound|(?:top|bottom)[- ]?(?:left|right)(?: corner)?|"
    r"pixel(?: position)?)(?: (?:is|at)){0,2} ?\|? ?[:=]? ?$|\bthe (?:most|least)(?: are| is)? ?$"
    r"|\b(?:bounding box|bbox|bounds|extent)\b\W{0,4}(?:is|are|from|of)?[^a-zA-Z\n]{0,50}(?:to\b[^a-zA-Z\n]{0,5})?$"
    r"|\bplease (?:answer|reply|respond|give|use|provide|write)\b[^.;:!?\n]{0,60}$",
    re.IGNORECASE,
)
# Verdicts straight behind a pair. Behind "(?P<far>" the place is only less likely, or compared.
REJECTED = re.compile(
    r"""[ )\]"',]{0,4}(?:(?:is|was|are|were|has been|can be|could be|seems|looks|appears|which is|but that is)\ )"""
    r"""(?:(?:thus|therefore|clearly|definitely|probably|also|very|quite|rather|much)\ )?"""
    r"""(?:(?P<far>unlikely|less likely|not likely|too far|far|similar|comparable|different)"""
    r"""|ruled out|excluded|rejected|eliminated|wrong|incorrect|not (?:a match|correct|it|right))"""
    r"""|[ )\]"',]{0,4}(?:does not|doesn't|do not|don't) (?:match|fit)"""
    r"""|[ )\]"',]{0,4}(?:has|have) (?:an? |the )?(?P<has>similar|comparable|different)"""
    r"""|[ )\]"',]{0,4}(?:and |which )?(?:was|is|would be|were)\ (?:my |the |an? )?(?:also )?"""
    r"""(?P<next>possible|a possibility|second|third|other|next|alternative|runner)\b"""
    r"""|[ )\]"']{0,3}\? ?no\b|[ )\]"']{0,3} ?of the (?:image|picture|photo|frame|canvas)\b""",
    re.IGNORECASE,
)
CLAUSE_BREAK = re.compile(
    r"\b(?:but|however|it is|it's|it was|this is|i think|i believe|so|therefore|because|since|then)\b"
    r"|, (?:perhaps|maybe|possibly|probably|approximately|roughly)(?: at| around| near| about)? ?\(?$",
    re.IGNORECASE,
)
REFUSAL = re.compile(
    r"\b(?:can ?not|can't|could not|couldn't|unable to|not able to|impossible to|not possible to|not feasible to|"
    r"difficult to|hard to|won't|will not|do not|don't|not comfortable|decline to|refuse to|no way to)"
    r"(?: \w{1,14}){0,3}? "
    r"(?:determine|identify|identifying|provide|tell|pinpoint|give|know|say|locate|guess|assist|help|recogni[sz]e|infer|"
    r"deduce|specify|confirm|offer|answer|establish|estimate|share|see|view|access|discern|ascertain|be determined|"
    r"determined|have enough|have access|have the ability|comply|fulfil|fulfill|process|analy[sz]e)\b"
    r"|\b(?:i'm|i am|we are|we're) (?:very |so |really )?sorry\b|\bsorry,|\bno idea\b"
    r"|\bnot enough (?:information|detail|context|data|evidence)"
    r"|\binsufficient (?:information|detail|context|data|evidence)|\bas an ai\b|\bunknown\b|\bn/a\b|\bnot available\b"
    r"|\bun(?:determined|identifiable|determinable|recogni[sz]able)\b|\bnot determinable\b|\bcannot\b(?= be )"
    r"|\bi apologi[sz]e\b"
    r"|\b(?:does not|doesn't|do not|don't|did not|didn't) (?:\w{1,14} )?(?:provide|contain|offer|give|have|show|"
    r"include|carry|hold) (?:\w{1,14} ){0,2}?(?:enough|sufficient|adequate)\b"
    r"|\b(?:determining|identifying|pinpointing|locating|providing|giving|saying|telling) (?:\w{1,14} ){1,12}"
    r"(?:is|are) (?:not possible|impossible|not feasible)\b"
    r"|\b(?:isn't|is not|aren't|are not) (?:enough|sufficient)\b"
    r"|\b(?:would|i'd|i|i'll|we) need (?:\w{1,14} ){0,2}?(?:more|additional|further)\b"
    r"|\b(?:location|place|coordinates?|latitude|longitude|position|answer)(?: of (?:\w{1,14} ){0,3}\w{1,14})? ?"
    r"(?::|=|is|are|was|were) ?(?:currently |yet )?not (?:specified|provided|known|given|stated|clear|certain|found|"
    r"identified|applicable)\b"
    r"|\bnot (?:sure|certain)\b|\bno (?:\w{1,14} ){0,2}(?:coordinates|location|landmarks?|clues|identifying)\b"
    r"|(?m:^\W{0,9}(?:none|null)(?:\W{1,4}(?:none|null))?\W{0,9}$)"
    r"|\b(?:lat|latitude|lon|lng|long|longitude|coordinates?|coords)[\"']?\s?[:=>]\s?[\"'(\[]{0,2}"
    r"(?:null|none|nil|undefined)\b|\b(?:null|none)[\"']?\s?[,;|/]\s?[\"']?(?:null|none)\b|" + REFUSES,
    re.IGNORECASE,
)
NO_VALUE = re.compile(
    r"\b(?:location|answer|position|place|gps|point|result|output)[\"']?\s?[:=>]\s?[\"'(\[{]{0,2}(?:null|none|nil|undefined)\b",
    re.IGNORECASE,
)
EXAMPLE = re.compile(r"\b(?:examples?|e ?\. ?g|sample|prompt|you are shown)\b", re.IGNORECASE)
UNSURE = re.compile(r"\b(?:could|might|may|perhaps|maybe|possibl[ey]|if)\b", re.IGNORECASE)
CORRECTION = re.compile(
    r"\b(?:(?:scratch|strike|forget|ignore|disregard) (?:that|this|it)|correction|"
    r"(?:let me|i need to|i must|i should|i'll|to) (?:correct|revise|fix|amend)|corrected|revised|"
    r"on second thoughts?|on reflection|i take (?:that|it) back|i meant?|oops|wait|hold on|"
    r"actually(?=[ ]?[,:—-])|actually (?:it|that|this|i)\b|my mistake|i made (?:a mistake|an error)|"
    r"edit|update|updated|instead)\b",
    re.IGNORECASE,
)
HEDGE = re.compile(
    r"\b(?:exact\w*|precis\w*|certain\w*|confirm\w*|guarantee\w*|definitive\w*|verify|accura\w*|sure|specific street|"
    r"without (?:more|additional|further))\b",
    re.IGNORECASE,
)
FORMAT_CUE = re.compile(r"\b(?:format\w*|in the form|example|such as|like this|should look|sample)\b", re.IGNORECASE)
ASSERTED = re.compile(
    r"\b(?:coordinates?|guess|estimate\w*|answer|latitude|location is|likely|probably)\b", re.IGNORECASE
)
CHOICE = re.compile(
    r"\b(?:i(?:'d|'ll| would| will)? (?:choose|pick|select|go with|settle on|opt for|conclude)|"
    r"final answer|(?:my|the) (?:answer|choice|pick|guess) is|(?:best|better|closest) (?:match|fit|candidate) is|"
    r"most likely (?:location|place|city|option|candidate) is|"
    r"it (?:is|must be) (?:most likely|probably|likely|definitely))\b",
    re.IGNORECASE,
)
LIKELIER = re.compile(
    r"(?P<names>\b[A-ZÀ-Þ][\w'-]{2,30}(?: [A-ZÀ-Þ][\w'-]{2,30}){0,2}) (?:is|seems|looks|appears)(?: to be)? (?:the )?"
    r"(?:(?:more|most|far more|much more) (?:likely|plausible|probable|convincing)|likelier|likeliest|"
    r"(?:better|best) (?:fit|match|guess|candidate))\b(?! than (?:that|not))"
)
NAME = re.compile(r"\b[A-ZÀ-Þ][\w'-]{2,30}")
# Capitalised words that name no place.
NAME_STOP = words(
    "The This That These Final Answer Coordinates Latitude Longitude North South East West City Country Region Based "
    "My Its And But However Lat Lon Step Therefore Thus For"
)


def sentence_start(text: str) -> int:
    """Offset in ``text`` (a bounded window) of its last sentence."""
    start = 0
    for match in SENTENCE_END.finditer(text):
        start = match.end()
    return start
