//! How families of byte-pair vocabularies split text into words before merging.
//!
//! The names are those that files carry in `tokenizer.ggml.pre`, the expressions those with which llama.cpp splits.
//! Names whose vocabularies are not byte-level (`gemma4`, `sarvam-moe`, `whitespace`), and those of encoders
//! (`jina-v1-en`, `jina-v2-code`, `roberta-bpe`), which generate no text, are left out.

use gguf::Metadata;

use super::Error;

/// How a family of vocabularies splits text into words before merging.
#[derive(Debug)]
pub(super) struct PreTokenizer {
    /// Names in `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    /// Regular expressions, each splitting further what the one before left.
    pub(super) patterns: &'static [&'static str],
    /// Whether a word that is a piece is taken whole, even if merges would not lead there.
    pub(super) ignore_merges: bool,
    /// Whether texts start with the BOS token where the file does not say.
    pub(super) add_bos: bool,
}

impl PreTokenizer {
    /// The one a file asks for; one that names none gets `default`, as llama.cpp does it.
    pub(super) fn read(metadata: &Metadata) -> Result<&'static Self, Error> {
        let name = metadata.optional::<&str>("tokenizer.ggml.pre")?;
        let name = name.filter(|name| !name.is_empty()).unwrap_or("default");
        let mut known = PRE_TOKENIZERS.iter();
        known
            .find(|pre| pre.names.contains(&name))
            .ok_or_else(|| Error::UnsupportedPreTokenizer(name.to_owned()))
    }

    const fn new(names: &'static [&'static str], patterns: &'static [&'static str]) -> Self {
        Self {
            names,
            patterns,
            ignore_merges: false,
            add_bos: false,
        }
    }

    const fn ignoring_merges(mut self) -> Self {
        self.ignore_merges = true;
        self
    }

    const fn adding_bos(mut self) -> Self {
        self.add_bos = true;
        self
    }
}

/// English contractions. Not `(?i:…)`, which would take the long s for an s.
macro_rules! contractions {
    () => {
        r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
    };
}

/// A word that starts anywhere, and one that starts with a capital or ends without small letters.
macro_rules! cased_words {
    ($end:expr) => {
        concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            $end,
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            $end,
        )
    };
}

/// The rest of what most families have in common, behind contractions, words and numbers.
macro_rules! rest {
    ($after_punctuation:literal) => {
        concat!(
            r"| ?[^\s\p{L}\p{N}]+",
            $after_punctuation,
            r"|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
}

macro_rules! like_llama_3 {
    ($numbers:literal) => {
        concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|",
            $numbers,
            rest!(r"[\r\n]*")
        )
    };
}

macro_rules! like_deepseek_3 {
    ($after_punctuation:literal) => {
        concat!(
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##,
            r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+",
            $after_punctuation,
            r"|\s+(?!\S)|\s+",
        )
    };
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";
const LLAMA_3: &str = like_llama_3!(r"\p{N}{1,3}");
const QWEN_2: &str = like_llama_3!(r"\p{N}");
const HAN_AND_KANA: &str = r"[\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+";
const HAN_AND_HANGUL: &str = r"[\x{4e00}-\x{9fa5}\x{0800}-\x{4e00}\x{ac00}-\x{d7ff}]+";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";
/// Digits in groups of three, counted from the right.
const THOUSANDS: &str = r"\p{Nd}{1,3}(?=(?:\p{Nd}{3})*(?!\p{Nd}))";

static PRE_TOKENIZERS: &[PreTokenizer] = &[
    PreTokenizer::new(
        &["default"],
        &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"],
    ),
    PreTokenizer::new(
        &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
        ],
        &[GPT_2],
    ),
    PreTokenizer::new(
        &[
            "llama-bpe",
            "llama3",
            "llama-v3",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        &[LLAMA_3],
    )
    .ignoring_merges()
    .adding_bos(),
    PreTokenizer::new(&["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], &[LLAMA_3]),
    PreTokenizer::new(&["minicpm5"], &[r"\p{N}{1,3}", like_llama_3!(r"\p{N}+")]).ignoring_merges(),
    PreTokenizer::new(
        &["jais-2"],
        &[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
            r"|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)",
            r"|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
        )],
    ),
    PreTokenizer::new(
        &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "stablelm2",
            "hunyuan",
            "solar-open",
            "megrez",
            "grok-2",
        ],
        &[QWEN_2],
    ),
    PreTokenizer::new(
        &["qwen35"],
        &[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
            r"|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
    ),
    PreTokenizer::new(
        &["bailingmoe", "bailingmoe2", "llada-moe"],
        &[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*",
            r"|\s*[\r\n]|\s+(?!\S)|\s+",
        )],
    ),
    PreTokenizer::new(
        &["seed-coder"],
        &[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
    ),
    PreTokenizer::new(
        &["ufakzeka"],
        &[concat!(
            r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            rest!(r"[\r\n]*")
        )],
    ),
    PreTokenizer::new(&["laguna"], &[r"[^\n]+|[\n]+", QWEN_2]),
    PreTokenizer::new(
        &["exaone-moe"],
        &[concat!(
            contractions!(),
            r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        )],
    ),
    PreTokenizer::new(
        &["tekken"],
        &[concat!(cased_words!(""), r"|\p{N}", rest!(r"[\r\n/]*"))],
    )
    .ignoring_merges()
    .adding_bos(),
    PreTokenizer::new(
        &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        &[concat!(
            cased_words!(concat!("(?:", contractions!(), ")?")),
            r"|\p{N}{1,3}",
            rest!(r"[\r\n/]*"),
        )],
    ),
    PreTokenizer::new(
        &["granite-embed-multi-97m"],
        &[concat!(
            cased_words!(concat!("(?:", contractions!(), ")?")),
            r"|\p{N}{1,3}",
            rest!(r"[\r\n/]*"),
        )],
    )
    .ignoring_merges(),
    PreTokenizer::new(
        &["tiny_aya", "cohere2moe"],
        &[
            THOUSANDS,
            concat!(
                cased_words!(concat!("(?:", contractions!(), ")?")),
                r"|\p{N}{1,3}",
                rest!(r"[\r\n/]*"),
            ),
        ],
    ),
    PreTokenizer::new(
        &["youtu"],
        &[
            concat!(
                r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，\x{3001}-\x{303f}\x{fe30}-\x{fe4f}]+|[ㄅ-ㄯ]+",
                r"|[\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+",
            ),
            concat!(
                cased_words!(concat!("(?:", contractions!(), ")?")),
                r"|\p{N}",
                rest!(r"[\r\n/]*"),
            ),
        ],
    )
    .ignoring_merges(),
    PreTokenizer::new(
        &["kimi-k2"],
        &[concat!(
            r"\p{Han}+",
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*",
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?:",
            contractions!(),
            r")?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?:",
            contractions!(),
            r")?|\p{N}{1,3}",
            rest!(r"[\r\n]*"),
        )],
    ),
    PreTokenizer::new(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[
            r"\p{N}{1,3}",
            HAN_AND_KANA,
            like_deepseek_3!(r"[\r\n]*|\s*[\r\n]+"),
        ],
    ),
    PreTokenizer::new(
        &["spark2_5"],
        &[
            r"\p{N}{1,3}",
            HAN_AND_KANA,
            like_deepseek_3!(r"|[\r\n]"),
            r"\p{N}",
        ],
    ),
    PreTokenizer::new(
        &["afmoe"],
        &[
            THOUSANDS,
            concat!(
                r"[\x{4e00}-\x{9fff}\x{3400}-\x{4dbf}\x{f900}-\x{faff}\x{3040}-\x{30ff}",
                r"\x{ff65}-\x{ff9f}\x{2f00}-\x{2fdf}\x{0e40}-\x{0e7f}\x{0e80}-\x{0eff}",
                r"\x{1780}-\x{17ff}\x{1000}-\x{109f}\x{aa60}-\x{aa7f}\x{a9e0}-\x{a9ff}",
                r"\x{ac00}-\x{d7af}\x{1100}-\x{11ff}]+",
            ),
            like_deepseek_3!(r"[\r\n]*|\s*[\r\n]+"),
        ],
    ),
    PreTokenizer::new(
        &["deepseek-llm"],
        &[
            r"[\r\n]",
            // Letters that have a case. Georgian ones had none when the vocabulary was made.
            r"\s?[[\p{Lu}\p{Ll}\p{Lt}]--[\x{10c7}\x{10cd}\x{10d0}-\x{10ff}]]+",
            r"\s?[!-/:-~！-／：-～‘-‟\x{3000}-。]+",
            r"\s+$",
            HAN_AND_HANGUL,
            r"\p{N}+",
        ],
    ),
    PreTokenizer::new(
        &["deepseek-coder"],
        &[
            r"[\r\n]",
            r"\s?\p{L}+",
            r"\s?\p{P}+",
            HAN_AND_HANGUL,
            r"\p{N}",
        ],
    ),
    PreTokenizer::new(
        &["falcon"],
        &[r"[\p{P}\$\+<=>\^~\|`]+", GPT_2, "[0-9][0-9][0-9]"],
    ),
    PreTokenizer::new(
        &[
            "starcoder",
            "refact",
            "command-r",
            "smollm",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        &[r"\p{N}", GPT_2],
    ),
    PreTokenizer::new(&["poro-chat", "bloom", "gpt3-finnish"], &[BLOOM]),
    PreTokenizer::new(&["viking"], &[BLOOM, r"\p{N}"]),
    PreTokenizer::new(
        &["chameleon"],
        &[
            "<sentinel:[0-9]+>",
            "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
            r"([\t\n]|    |  )",
            r"\p{N}",
            r"[\p{P}!-/:-@\[-`{-~]",
            GPT_2,
        ],
    )
    .adding_bos(),
    PreTokenizer::new(&["superbpe"], &[r"\p{N}+", r"(?=(\d{3})+(?!\d))"]),
];
