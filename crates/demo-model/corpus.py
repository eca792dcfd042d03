"""Reads the corpus and turns it into endless, varied conversations.

The corpus is Markdown-like text, one file per language and theme (`fr-*.md`, `en-*.md`):

  ## topic            opens a topic; topics have the same name in both languages
  $ name: a | b | c   a list that phrasings use as {name} (for the whole language)
  ~ un fragment | …   noun phrases, asked about through the language's `{define}` patterns
  = fragment | …      keywords, asked with little or nothing around them
  - phrasing          a question as a person would write it; {name} picks from a list
  > answer            the answer; several lines are several sentences of one answer
"""

import random
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "corpus"
LANGUAGES = ("fr", "en")

SLOT = re.compile(r"\{(\w+)\}")
ELISION = re.compile(r"\b([Dd]|[Qq]u|[Ll]|[Jj]|[Nn])e (?=[aeiouyéèêàâîôûAEIOUÉÈÊÀ]|héberg|habit|heure)")

DEFINE = {
    "fr": [
        "Qu'est-ce que {np} ?", "Qu'est-ce que c'est que {np} ?", "C'est quoi {np} ?",
        "{np}, c'est quoi ?", "{np}, qu'est-ce que c'est ?", "{np} c'est quoi",
        "Que veut dire {bare} ?", "Que signifie {bare} ?", "Que désigne {bare} ?",
        "Ça veut dire quoi {bare} ?", "Définition de {bare}", "Définis {np}",
        "Explique-moi {np}", "Expliquez {np}", "Peux-tu m'expliquer {np} ?",
        "Peux-tu définir {bare} ?", "Pouvez-vous m'expliquer ce qu'est {np} ?",
        "Dis-moi ce que c'est {np}", "Parle-moi de {np}", "Je ne comprends pas {np}",
        "Je voudrais comprendre {np}", "Que sais-tu de {np} ?", "Qu'appelle-t-on {bare} ?",
        "Qu'entend-on par {bare} ?", "Au juste, {np}, qu'est-ce ?", "Décris {np}",
        "C'est quoi le sens de {bare} ?", "Comment définir {np} ?", "Kesako {bare} ?",
        "Qu'est-ce qu'on appelle {bare} ici ?", "Explique-moi la notion de {bare}",
        "Que représente {np} ?", "{np}, ça correspond à quoi ?", "Aide-moi à comprendre {np}", "J'ai lu le mot {bare}, c'est quoi ?",
    ],
    "en": [
        "What is {np}?", "What's {np}?", "What exactly is {np}?", "What does {bare} mean?",
        "Explain {np}", "Can you explain {np}?", "Could you explain what {np} is?",
        "Define {bare}", "Definition of {bare}", "Tell me about {np}", "What is meant by {bare}?",
        "{np}, what is that?", "{np} meaning", "Meaning of {bare}", "What do you call {np}?",
        "I don't understand {np}", "I would like to understand {np}", "Describe {np}",
        "What do you know about {np}?", "Please explain {bare}", "What is this {bare} thing?",
        "Explain the notion of {np}", "What does {np} represent?", "Help me to understand {np}",
        "I read the word {bare}, what is it?", "Teach me what {np} is", "So what is {np}?",
        "Do you know what {np} is?", "In simple words, what is {np}?", "What are we calling {bare}?",
        "What does the word {bare} stand for?", "Give me a definition of {bare}",
    ],
}

ARTICLES = {
    "fr": re.compile(r"^(un|une|des|le|la|les) |^l'", re.I),
    "en": re.compile(r"^(an|a|the) ", re.I),
}

KEYWORD = {
    "fr": ["{k}", "{k} ?", "et {k} ?", "{k} svp", "info {k}", "infos sur {k}", "question sur {k}",
           "un mot sur {k}", "{k} ??", "à propos de {k}", "et pour {k} ?", "plus d'infos sur {k}",
           "dis-moi tout sur {k}", "{k} : comment ça se passe ?", "je cherche des infos sur {k}",
           "qu'en est-il de {k} ?", "tu peux me parler de {k} ?", "et au niveau de {k} ?",
           "c'est quoi l'histoire avec {k} ?", "{k}, vous en dites quoi ?", "je m'intéresse à {k}"],
    "en": ["{k}", "{k}?", "and {k}?", "{k} please", "{k} info", "info about {k}", "question about {k}",
           "a word about {k}", "{k} ??", "about {k}", "what about {k}?", "more about {k}",
           "tell me everything about {k}", "{k}: how does that go?", "I am looking for info on {k}",
           "how is it with {k}?", "can you say something on {k}?", "I am curious about {k}",
           "what's the story with {k}?", "{k}, what do you say?", "I am interested in {k}"],
}

BEFORE = {
    "fr": ["Bonjour, ", "Salut, ", "Bonsoir, ", "Dis-moi, ", "Dites-moi, ", "Dis, ", "Svp, ", "Stp, ",
           "Une question : ", "J'ai une question : ", "Euh, ", "Alors, ", "Ok, ", "Ok et ", "Et ",
           "Mais ", "Merci. ", "Au fait, ", "Bonjour ! ", "Coucou, ", "Hello, ", "D'accord, ",
           "Je débute : ", "Petite question, ", "Excuse-moi, ", "Pardon, ", "En fait, ", "Donc ", "J'aimerais savoir : ", "Pourriez-vous me dire ", "Je me demande ",
           "Sais-tu ", "Peux-tu me dire ", "Rappelle-moi : "],
    "en": ["Hello, ", "Hi, ", "Hey, ", "Hi! ", "Tell me, ", "Please, ", "Question: ", "Quick question: ",
           "I have a question: ", "Um, ", "So, ", "Ok, ", "Ok and ", "And ", "But ", "Thanks. ",
           "By the way, ", "Sorry, ", "Excuse me, ", "I'm new here: ", "Good morning, ", "Well, ",
           "Just wondering, ", "Actually, ", "Alright, ", "I would like to know: ", "Could you tell me ",
           "I wonder ", "Do you know ", "Can you tell me ", "Remind me: "],
}

AFTER = {
    "fr": [" svp", " stp", " s'il vous plaît", " s'il te plaît", " merci", ", merci", " exactement",
           " au juste", " en bref", " en deux mots", " simplement", " dans ce projet", " ici",
           " sur ce réseau", " pour un débutant", " déjà", " au fait", " en gros", " du coup"],
    "en": [" please", " pls", " thanks", ", thanks", " exactly", " in short", " in a few words",
           " simply put", " in this project", " here", " on this network", " for a beginner",
           " by the way", " again", " then", " roughly", " actually"],
}

# Habits of quick typing: what is written → how it is also written.
HABITS = {
    "fr": [("Qu'est-ce que", "Qu'est ce que"), ("Qu'est-ce qu'", "Qu'est ce qu'"), ("Qu'est-ce qu", "Kesk"),
           ("Qu'est-ce qu", "Quest ce qu"), ("C'est quoi", "C quoi"), ("c'est quoi", "c koi"),
           ("C'est quoi", "Cest quoi"), ("Est-ce que", "Est ce que"), ("est-ce que", "esque"),
           ("quoi", "koi"), ("je ne", "je"), ("il y a", "y a"), ("pourquoi", "pk"), ("Pourquoi", "Pq"),
           ("Pourquoi", "Pourkoi"), ("téléphone", "tel"), ("téléphone", "portable"),
           ("ordinateur", "ordi"), ("combien", "cb"), ("beaucoup", "bcp"), ("quelqu'un", "qqun"),
           ("vous", "tu"), ("Comment", "Coment"), ("des données", "les données"), ("mon", "le")],
    "en": [("What is", "Whats"), ("What is", "What's"), ("What is", "wat is"), ("What are", "whatre"),
           ("you", "u"), ("are", "r"), ("I am", "im"), ("I'm", "im"), ("do not", "don't"),
           ("don't", "dont"), ("because", "cuz"), ("please", "plz"), ("people", "ppl"),
           ("phone", "mobile"), ("computer", "pc"), ("my", "the"), ("Does it", "Does this"),
           ("explain", "explane"), ("the ", ""), ("a ", "")],
}

# Words that carry little: left out when somebody types in telegraph style.
LITTLE = {
    "fr": set("""le la les un une des de du d' l' est ce que qu' se je tu il on vous nous me m' te t' mon ma mes
        y a à en et ou au aux si donc ça c' s' n' ne pas cette cet ces est-ce qu'est-ce avec pour""".split()),
    "en": set("""the a an is are am do does did i you we they it this that to of in on for and or if my your me
        be been will would can could there with any some""".split()),
}

# Another way to say the same, in any sentence.
SYNONYMS = {
    "fr": [("fonctionne", "marche"), ("marche", "tourne"), ("marche", "passe"), ("utiliser", "me servir de"),
           ("participer", "aider"), ("participer", "prendre part"), ("rejoindre", "intégrer"), ("appareil", "machine"),
           ("téléphone", "smartphone"), ("ordinateur", "PC"), ("réponse", "réponses"), ("beaucoup de", "plein de"),
           ("Peut-on", "On pourrait"), ("je peux", "j'ai le droit de"), ("puis-je", "je pourrais"), ("voir", "consulter"),
           ("Combien de", "Quel nombre de"), ("Combien", "A combien"), ("supprimer", "virer"), ("quitter", "sortir de"),
           ("lent", "long"), ("rapide", "vite"), ("compatible", "supporté"), ("garder", "stocker"),
           ("garder", "héberger"), ("modèle", "IA"), ("réseau", "système"), ("Quelle différence avec", "La différence avec"),
           ("Où", "A quel endroit"), ("Que se passe-t-il", "Il se passe quoi"), ("Qui", "Quelle personne"),
           ("peut-il", "peut"), ("est-il", "est"), ("est-elle", "est"), ("y a-t-il", "il y a"), ("sont-ils", "sont")],
    "en": [("works", "runs"), ("work", "run"), ("work", "function"), ("use", "make use of"), ("participate", "help"),
           ("participate", "take part"), ("join", "get into"), ("device", "machine"), ("phone", "smartphone"),
           ("computer", "laptop"), ("answer", "reply"), ("many", "lots of"), ("see", "look at"),
           ("How many", "What number of"), ("delete", "get rid of"), ("leave", "quit"), ("slow", "long"),
           ("compatible", "supported"), ("keep", "store"), ("keep", "host"), ("model", "AI"), ("network", "system"),
           ("Where", "In which place"), ("What happens", "What's going to happen"), ("Who", "Which people"),
           ("needed", "required"), ("stop", "end"), ("big", "large"), ("quickly", "fast"), ("people", "users")],
}

# Words that change nothing about what is asked.
FILLERS = {
    "fr": """vraiment donc alors aussi bien juste encore maintenant aujourd'hui demain bientôt souvent toujours parfois
        simplement concrètement exactement normalement finalement réellement facilement rapidement peut-être
        ici là enfin surtout plutôt petit grand vieux nouveau récent bon simple seul autre même votre notre tout
        plusieurs service truc système gens personne monsieur certain propre aimerais voudrais pourrait""".split(),
    "en": """really so then also just still now today tomorrow soon often always sometimes simply exactly normally finally
        actually easily quickly maybe here there tonight anyway rather mostly little big old new recent good simple
        only other same your our whole several service thing system folks person certain own like would might""".split(),
}

KEYS = "azertyuiop qsdfghjklm wxcvbn qwertyuiop asdfghjkl zxcvbnm"


@dataclass
class Topic:
    name: str
    language: str
    answer: str = ""
    phrasings: list[str] = field(default_factory=list)
    nouns: list[str] = field(default_factory=list)
    keywords: list[str] = field(default_factory=list)


def without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def key(text: str) -> str:
    """What is left of a question when case, accents and punctuation do not count."""
    return re.sub(r"[^a-z0-9]+", " ", without_accents(text).lower()).strip()


def elide(text: str) -> str:
    return ELISION.sub(lambda m: m.group(1) + "'", text).replace("de le ", "du ").replace("de les ", "des ")


class Corpus:
    def __init__(self, folder: Path = FOLDER):
        self.topics: dict[str, dict[str, Topic]] = {language: {} for language in LANGUAGES}
        self.lists: dict[str, dict[str, list[str]]] = {language: {} for language in LANGUAGES}
        for path in sorted(folder.glob("*-*.md")):
            self._read(path, path.name.split("-")[0])

    def _read(self, path: Path, language: str) -> None:
        topic = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            mark, _, rest = line.partition(" ")
            rest = rest.strip()
            if not rest or mark == "#":
                continue
            if mark == "##":
                topic = self.topics[language].setdefault(rest, Topic(rest, language))
            elif mark == "$":
                name, _, items = rest.partition(":")
                self.lists[language].setdefault(name.strip(), []).extend(parts(items))
            elif topic is None:
                continue
            elif mark == "~":
                topic.nouns += parts(rest)
            elif mark == "=":
                topic.keywords += parts(rest)
            elif mark == "-":
                topic.phrasings.append(rest)
            elif mark == ">":
                topic.answer = f"{topic.answer} {rest}".strip()
            else:
                raise ValueError(f"{path}:{number}: what is {line!r}?")

    def all_topics(self) -> list[Topic]:
        return [topic for language in LANGUAGES for topic in self.topics[language].values()]

    def fill(self, text: str, language: str, rng: random.Random) -> str:
        while SLOT.search(text):
            text = SLOT.sub(lambda m: rng.choice(self.lists[language][m.group(1)]), text)
        return elide(text) if language == "fr" else text

    def clean(self, topic: Topic, rng: random.Random) -> str:
        """A question as its author would write it with care."""
        ways = [("phrasing", 3.0 * bool(topic.phrasings)), ("noun", 2.0 * bool(topic.nouns)),
                ("keyword", 0.7 * bool(topic.keywords)), ("scatter", 0.6 * bool(topic.keywords))]
        way = rng.choices([w for w, _ in ways], [weight for _, weight in ways])[0]
        language = topic.language
        if way == "phrasing":
            text = self.fill(rng.choice(topic.phrasings), language, rng)
        elif way == "noun":
            noun = self.fill(rng.choice(topic.nouns), language, rng)
            bare = noun if rng.random() < 0.3 else ARTICLES[language].sub("", noun)
            text = rng.choice(DEFINE[language]).replace("{np}", noun).replace("{bare}", bare)
            text = elide(text) if language == "fr" else text
        elif way == "scatter":
            # The keyword among words that say nothing: what counts is the keyword.
            words = rng.sample(sorted(LITTLE[language]) + FILLERS[language], rng.randint(1, 6))
            words.insert(rng.randint(0, len(words)), self.fill(rng.choice(topic.keywords), language, rng))
            text = " ".join(words) + rng.choice(["", "?", " ?"])
        else:
            word = self.fill(rng.choice(topic.keywords), language, rng)
            text = rng.choice(KEYWORD[language]).replace("{k}", word)
            text = elide(text) if language == "fr" else text
        return text[:1].upper() + text[1:]

    def question(self, topic: Topic, rng: random.Random) -> str:
        """A question as somebody might really type it."""
        return rough(self.clean(topic, rng), topic.language, rng)


def parts(text: str) -> list[str]:
    return [part.strip() for part in text.split("|") if part.strip()]


def rough(text: str, language: str, rng: random.Random) -> str:
    chance = lambda p: rng.random() < p  # noqa: E731
    if chance(0.2):
        written, habit = rng.choice(HABITS[language])
        text = text.replace(written, habit, 1)
    for _ in range(rng.choice([0, 1, 2])):
        for one, other in rng.sample(SYNONYMS[language], 12):
            if one in text:
                text = text.replace(one, other, 1)
                break
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        words = text.split(" ")
        words.insert(rng.randint(0, len(words) - 1), rng.choice(FILLERS[language]))
        text = " ".join(words)
    if chance(0.07):
        words = [w for w in text.replace("'", "' ").split() if w.lower() not in LITTLE[language]]
        if len(words) > 1 and chance(0.3):
            rng.shuffle(words)
        text = " ".join(words) or text
    if chance(0.2):
        text = rng.choice(BEFORE[language]) + (text[:1].lower() + text[1:] if chance(0.7) else text)
    if chance(0.14):
        body = text.rstrip(" ?!.")
        text = body + rng.choice(AFTER[language]) + text[len(body):]
    if chance(0.12):
        text = drop_word(text, rng)
    for _ in range(rng.choice([0, 0, 0, 0, 0, 1, 1, 2])):
        text = mistype(text, rng)
    if chance(0.3):
        text = without_accents(text)
    if chance(0.4):
        text = text.lower()
    elif chance(0.03):
        text = text.upper()
    if chance(0.35):
        text = text.rstrip(" ?!.")
    elif chance(0.3):
        text = text.replace(" ?", "?")
    elif chance(0.05):
        text = text + rng.choice(["?", "??", " ?", "!", " !", "...", "."])
    if chance(0.1):
        text = text.replace("'", rng.choice(["’", " ", ""]))
    if chance(0.08):
        text = text.replace("-", " ")
    if chance(0.04):
        text = rng.choice([text + " ", " " + text, f" {text} "])
    return text


def drop_word(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    short = [i for i, word in enumerate(words) if len(word) <= 3 and word.isalpha()]
    if len(words) > 4 and short:
        del words[rng.choice(short)]
    return " ".join(words)


def mistype(text: str, rng: random.Random) -> str:
    spots = [m for m in re.finditer(r"[^\W\d_]{4,}", text)]
    if not spots:
        return text
    word = rng.choice(spots)
    i = rng.randrange(word.start(), word.end() - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    if kind == 1:
        return text[:i] + text[i + 1:]
    if kind == 2:
        return text[:i] + text[i] + text[i:]
    at = KEYS.find(text[i].lower())
    near = KEYS[at + rng.choice([-1, 1])] if 0 < at < len(KEYS) - 1 else ""
    return text[:i] + (near.strip() or text[i]) + text[i + 1:]


if __name__ == "__main__":
    corpus, rng = Corpus(), random.Random(0)
    names = [set(corpus.topics[language]) for language in LANGUAGES]
    print(len(names[0]), "topics in French,", len(names[1]), "in English; only in one:", names[0] ^ names[1])
    for topic in corpus.all_topics():
        if not topic.answer or not (topic.phrasings or topic.nouns):
            print("incomplete:", topic.language, topic.name)
    for topic in rng.sample(corpus.all_topics(), 12):
        print(topic.language, topic.name, "|", corpus.question(topic, rng), "|", topic.answer)
