"""Whether a question hangs on the conversation before it ("and for kids?"), told by its words alone."""

import re

from knowledge.words import stems

# How a follow-up begins, and the words in it that point back, in the languages that the product speaks.
_BEGINS = re.compile(
    r"^(?:and|but|or|so|also|what about|how about|what if|then|same|why not|really|"
    r"und|oder|aber|auch|was ist mit|wie sieht es mit|dann|warum nicht|"
    r"et|mais|ou|alors|aussi|qu'en est-il|et pour|"
    r"y|e|o|pero|entonces|también|qué tal|qué pasa con|mas|então|também|que tal|"
    r"ma|allora|anche|invece|en|maar|of|dan|a co|ve|peki|ya|а|и|но|"
    r"و|ماذا عن|じゃあ|では|それ|那|那么)(?![\w'-])",
    re.I,
)
_POINTS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|that|these|those|there|one|ones|he|she|him|her|same|else|instead|"
    r"das|dies|diese[rsnm]?|davon|dafür|dazu|damit|darauf|dort|sie|ihn|ihm|"
    r"ça|cela|celui|celle|ceux|celles|là|en|"
    r"eso|esto|ese|esa|esos|esas|ello|isso|isto|esse|essa|"
    r"auch für|auch bei|also for|also apply|aussi pour|también para|também para|anche per|ook voor|"
    r"quello|quella|questo|questa|dat|die|deze|daar|это|этот|эта|они|он|она)\b|それ|これ|その|它|这个|那个|ذلك|هذا|هذه",
    re.I,
)
_POINTS_FORWARD = re.compile(
    r"\b(?:(?:is|was) it(?=(?: \w+){1,2} (?:to|that|if|when|for (?:me|us|you))\b)|it is|it's|"
    r"does it take(?=(?: \w+)? (?:to|for|until|till|before)\b)|"
    r"is there|are there|there is|there are|"
    r"gibt es|geht es|est-ce|il y a|y a-t-il|"
    r"die|das|sie|en|one day|that (?:the|my|your|i|you|is|are|was))\b",
    re.I,
)
_FEW = 2  # content words: fewer don't say what a question is about ("how much?", "and in red?")


def depends(question: str) -> bool:
    """Does the question hang on what was said before, if anything was?"""
    text = " ".join(question.split()).lstrip("¿¡ ")
    content = len(stems(text))
    return content <= 6 if points_back(text) else content < _FEW


def points_back(text: str) -> bool:
    """Does it begin like a follow-up, or speak of "it"?"""
    return bool(_BEGINS.match(text.lstrip("¿¡ ")) or _POINTS_BACK.search(_POINTS_FORWARD.sub("", text)))
