"""Shapes of sentences that show how work is split: lists, pairs, numbers, places, layers; as regular expressions."""

from __future__ import annotations

import re
from typing import Final

WORD = re.compile(r"\w+(?:['-]\w+)*")
CLAUSE = re.compile(
    r"(?:^|[.;:,!?\u2013\u2014-]\s*|\b(?:and|then|to|please|should|must|we|i|you|can|could|or|but|also|it|them|và|"
    r"rồi|thì|hãy|để|nên|sau đó|y|luego|et|puis|und|dann|e|depois)\s+)(?:\w+ly\s+)?$"
)
RESULT = re.compile(
    r"(?:,|\band\b|\bthen\b|\brồi\b|\by\b|\bund\b|\bet\b|\be\b) (?:\w+ly )?[\w-]+(?: up| out|"
    r" off)? (?:it|them|that|those|what|the (?:fix|fixes|"
    r"result|results|findings|biggest|output|data|ones))\b|\b(?:corrígelo|corrige-la|behebe ihn|"
    r"corrija-o|sửa lại|sửa nó|corrige-le)\b"
)
NAMED_PAIR = re.compile(
    r"\b(?:the|our|der|die|el|la|le) [\w-]+ and the [\w-]+\b|\b[\w-]+ and [\w-]+ alike\b|"
    r"\bas well as\b|\bboth\b|\bcả hai\b|\b[\w-]+ và "
    r"[\w-]+ đều\b|\bambos\b|\bbeide\b|\bles deux\b"
)

AND = r"(?:and|&|plus|as well as|và|y|et|und|sowie|e)"
OR = r"(?:or|hay|hoặc|o|ou|oder)"
ITEM = r"[\w'/&().+-]+(?: [\w'/&().+-]+){0,5}"
LIST = re.compile(rf"{ITEM}(?:, {ITEM})+,? {AND} {ITEM}|{ITEM}(?:, {ITEM}){{2,}}")
OR_LIST = re.compile(rf"{ITEM}(?:, {ITEM})+,? {OR} {ITEM}")
EITHER = re.compile(rf"(?:\b(?:is it|was it|whether|either|could be|might be|si es|ob)\b[^.;]{{0,60}}) {OR} [\w']+")
PLACE = (
    r"(?:in|on|to|for|into|across|from|of|at|between|inside|trong|ở|cho|của|vào|en|para|de|dans|pour|des|auf|für|im|"
    r"nos|nas|no|na|los|las|sur)"
)
SHORT_ITEM = r"(?:(?:the|our|its|a|an|der|die|das|den|el|la|los|las|le|les|o|os|as) )?[\w'./-]+(?: [\w'./-]+){0,2}?"
PAIR = re.compile(
    rf"\b(?:both {SHORT_ITEM} {AND} {ITEM}|{PLACE} {SHORT_ITEM}(?: {AND} | as well as (?:on|in|to|"
    rf"for)? ?){SHORT_ITEM}(?:$|[.,;!?]))"
)
NUMBER = (
    r"(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hai|ba|bốn|năm|sáu|dos|tres|"
    r"cuatro|deux|trois|quatre|zwei|drei|vier|fünf|dois|três|quatro|[2-9]|[1-9][0-9])"
)
UNIT = (
    r"(?:services?|apis?|apps?|applications?|modules?|servers?|clients?|pages?|packages?|repos|repositories|projects|"
    r"components|endpoints|controllers|pipelines|jobs|functions|lambdas?|microservices?|branches|platforms|languages|"
    r"widgets|screens|forms|tables|handlers|workers|connectors|nodes|tools|sites|libraries|"
    r"plugins|environments|regions|"
    r"teams|databases|queues|scripts|parsers|templates|models|classes|files|tests|views|stores|integrations|adapters|"
    r"products|sdks|crates|charts|configs|dịch vụ|microservice|module|trang|ứng dụng|server|máy chủ|form|servicios|"
    r"módulos|páginas|modules|pages|dienste[n]?|module[n]?|seiten|serviços|services|microsserviços)"
)
AMOUNT = (
    r"(?:seconds?|minutes|hours|days|weeks|months|years|times|users|customers|items|requests|"
    r"percent|releases|lines|mb|gb|kb|"
    r"ms|euros|dollars|reports|places|pros|cons|attempts|characters|this|does|is|has|was|as)"
)
COUNTED = re.compile(rf"\b{NUMBER} (?:[\w-]+ ){{0,3}}?(?:{UNIT}|(?!{AMOUNT}\b)[a-z-]+s)\b")
EVERY = re.compile(
    rf"\b(?:each|every|all|any|both|tất cả các|tất cả|từng|mỗi|mọi|các|todos los|todas las|cada|tous les|toutes les|"
    rf"chaque|alle[nr]?|jede[nrsm]?|todos os|todas as|todos|todas)\b(?: (?:of|one|single|the|our|"
    rf"its|their|other|remaining))*"
    rf" (?:[\w.-]+ ){{0,3}}?(?:{UNIT}|service|module|page|package|repository|project|component|endpoint|controller|"
    rf"pipeline|job|function|branch|platform|language|screen|form|table|handler|worker|library|"
    rf"plugin|environment|class|"
    rf"model|\w+s)\b"
)
LEADS_FACETS = re.compile(
    r"(?:\b(?:with|including|incl|includes|gồm|bao gồm|con|avec|mit|com|incluyendo|features?|"
    r"needs|need)\b|:)[^.;:]{0,30}$"
)
LEADS_PLACES = re.compile(
    rf"\b(?:{PLACE}|clients?|endpoints|connectors|nodes?|tests|nodes:)\b[^.;:,]{{0,24}}$|:\s*$|"
    rf"^\W*[\w-]+(?: [\w-]+)? ?$"
)
QUESTION = re.compile(
    r"\?|^(?:why|what|how|where|who|which|is|are|does|do|can|tại sao|vì sao|por qué|pourquoi|warum|por que)\b"
)
LOCATED = re.compile(
    r"\b[\w/-]+\.(?:py|go|ts|tsx|js|jsx|java|rb|rs|cs|cpp|c|h|kt|swift|php|sql|ya?ml|json|toml|md|"
    r"html|css|scss|vue|tf|sh|"
    r"ipynb|xml|proto)\b|\b\w+\(\)|`[^`]+`|\b[a-z]+_[a-z_]+\b"
)
CONCEPT = re.compile(
    r"\b(?:cost tracking|cost|costs|pricing|rate[- ]limit\w*|caching|cache|encryption|auth\w*|"
    r"metrics|billing|validation|"
    r"retry|retries|logging|pagination|throttling|tracing|token\w*|oauth|signing|signature|normali[sz]ation|hashing|"
    r"circuit breaker|idempoten\w*|theo dõi chi phí|chi phí|mã hóa|xác thực|giới hạn)\b"
    r".{0,16}\b(?:for|to|in|into|on|of|cho|trong|para|pour|für)\b"
)
TIERS: Final = {
    "frontend": (
        r"front[- ]?end|\bui\b|web app|website|css|react|vue|angular|landing page|checkout page|"
        r"giao diện|web client|browser|javascript|bundle|dashboard|portal"
    ),
    "backend": r"back[- ]?end|\bapis?\b|server\b|endpoint|microservice|rest\b|graphql|grpc|máy chủ|business logic",
    "database": (
        r"databases?|\bdb\b|schema|postgres\w*|mysql|mongo\w*|\bsql\b|table\b|storage|warehouse|redis|"
        r"cơ sở dữ liệu|base de datos|datenbank|banco de dados|migration|replication|dba|inventory|"
        r"indexer"
    ),
    "infrastructure": (
        r"infra\w*|kubernetes|docker|terraform|nginx|network|dns|load balancer|\bci\b|cluster|devops|"
        r"\baws\b|queue|smtp|relay|gateway|mạng|red\b|netzwerk|réseau|rede\b|pods?|compute"
    ),
    "mobile": r"mobile|\bios\b|android|react native|tablet|\bapp\b",
    "quality": r"\btests?\b|verif\w+|testing|evaluation|regression|kiểm thử|quality checks|drills|prove",
    "insight": r"analytics|reporting|report\b|bi\b|metrics|monitoring|alerts?|logs?\b|tracking|thống kê|telemetry",
    "people": r"docs\b|documentation|runbooks?|training|moderation|support tickets|admin",
    "trust": r"security|fraud|encryption|permission\w*|audit|key management|compliance|auth\w*",
    "money": r"billing|payments?|invoic\w+|checkout|pricing|thanh toán|pagos",
}
TIER_PATTERNS: Final = {name: re.compile(rf"\b(?:{words})") for name, words in TIERS.items()}


BETWEEN = re.compile(r",? (?:and|&|plus|as well as|và|y|et|und|sowie|e|or|hay|hoặc|o|ou|oder) |, ")

LEAD_IN = re.compile(
    r"^.*\b(?:in|on|to|for|into|across|from|at|with|including|both|all|our|the|its|check|look|"
    r"is it|between|trong|ở|cho|"
    r"vào|cả hai|cả ba|cả|gồm|en|de|para|dans|pour|für|nos|nas|los|las|les|die|den|das)\b\s+|"
    r"^.*:\s*|^(?:and|và|und|et|y|e)\s+"
)

TRAILING = re.compile(
    r"(?:[\s,;.]|\b(?:and|then|after that|afterwards|rồi|sau đó|và|y|luego|puis|et|und|danach|e|depois)\b)+$"
)

PATH = re.compile(r"(?:[\w.-]+/)*[\w-]+\.(?:[a-z]{1,4}|ipynb|proto|swift)\b|(?:[\w.-]+/)+[\w.-]+")

SENTENCE = re.compile(r"[.;!?]\s+|,\s+|\s+(?:and then|then|and|before|after|rồi|sau đó|luego|y|puis|et|und|dann|e)\s+")
