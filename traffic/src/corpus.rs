//! Texts of others, where somebody has a directory of them: gzip files of JSON lines with `kind`, `lang`,
//! `group` and `text` (or `turns`). They take the place of grammar texts; nothing of them is part of Weir.

use crate::grammar::{CODES, Language};
use crate::random::Random;
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Longest text that is taken over, in bytes: longer ones are cut.
const TEXT_BYTES_MAX: usize = 4_096;

/// Why a corpus cannot be used.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// The directory or one of its files cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what the format says.
    #[error("{} line {line} is no corpus line: {source}", path.display())]
    Line {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// Nothing was chosen.
    #[error("none of the files in {} is chosen; there are: {files}", path.display())]
    Nothing {
        /// Directory.
        path: PathBuf,
        /// Names of its files.
        files: String,
    },
}

/// What a text is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Somebody's question.
    Chat,
    /// A developer's question.
    Code,
    /// An assistant's system prompt.
    Preamble,
    /// A task for an agent.
    Task,
    /// What somebody says to an application.
    EndUser,
    /// A question with one answer.
    Question,
    /// An instruction of the kind that data is generated from.
    Instruction,
    /// A longer text to work on.
    Document,
}

/// Which role the files of a known name have; another file has the one of its lines' kind.
const ROLES: &[(&str, &[Role])] = &[
    ("lobe-questions", &[Role::Chat]),
    ("zh-questions", &[Role::Chat, Role::Instruction]),
    ("h5bp", &[Role::Code, Role::Chat]),
    ("js-questions", &[Role::Code]),
    ("exercism", &[Role::Code, Role::Document]),
    ("lobe-system", &[Role::Preamble]),
    ("zh-prompts", &[Role::Preamble]),
    ("fabric", &[Role::Preamble]),
    ("cursorrules", &[]),
    ("copilot-instructions", &[]),
    ("taskbench", &[Role::Task]),
    ("webarena", &[Role::Task]),
    ("tau-bench", &[Role::Task]),
    ("clinc", &[Role::EndUser]),
    ("snips", &[Role::EndUser]),
    ("taskmaster-4", &[Role::EndUser]),
    ("bbh", &[Role::Question]),
    ("flan-cot", &[Role::Question]),
    ("gpteacher", &[Role::Instruction]),
    ("promptsource", &[Role::Instruction]),
    ("word-lists", &[Role::Document]),
    ("stopwords", &[]),
];

/// A text and the group of texts that say the same.
#[derive(Debug)]
struct Text {
    text: Box<str>,
    group: u32,
}

/// The texts of a directory.
#[derive(Debug, Default)]
pub struct Corpus {
    texts: HashMap<(Role, Language), Vec<Text>>,
    /// By role: what each group is called in each language.
    groups: HashMap<Role, Vec<BTreeMap<Language, Box<str>>>>,
    /// Names of the files that were read.
    pub files: Vec<String>,
}

/// Which of a directory's files are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// All.
    #[default]
    All,
    /// The first of every two files that have a role in common: to tune on.
    Tune,
    /// The others: to test on.
    Test,
    /// Those with these names, without `.jsonl.gz`.
    Named(Vec<String>),
}

impl std::str::FromStr for Choice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "all" => Self::All,
            "tune" => Self::Tune,
            "test" => Self::Test,
            names => Self::Named(names.split(',').map(|name| name.trim().to_owned()).collect()),
        })
    }
}

#[derive(Deserialize)]
struct Line {
    kind: String,
    lang: String,
    group: String,
    text: Option<String>,
    turns: Option<Vec<Turn>>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    text: String,
}

impl Corpus {
    /// Reads the chosen files of a directory, in the order of their names.
    pub fn read(directory: &Path, choice: &Choice) -> Result<Self, CorpusError> {
        let fault = |path: &Path, source| CorpusError::Read { path: path.to_owned(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(|source| fault(directory, source))? {
            let entry = entry.map_err(|source| fault(directory, source))?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".jsonl.gz")) {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        let chosen: Vec<&String> = names.iter().filter(|name| is_chosen(name, &names, choice)).collect();
        if chosen.is_empty() {
            return Err(CorpusError::Nothing { path: directory.to_owned(), files: names.join(", ") });
        }
        let (mut corpus, mut known) = (Self::default(), HashMap::new());
        for name in chosen {
            corpus.read_file(&directory.join(format!("{name}.jsonl.gz")), name, &mut known)?;
            corpus.files.push(name.clone());
        }
        Ok(corpus)
    }

    fn read_file(
        &mut self,
        path: &Path,
        name: &str,
        known: &mut HashMap<(Role, String), u32>,
    ) -> Result<(), CorpusError> {
        let fault = |source| CorpusError::Read { path: path.to_owned(), source };
        let lines = BufReader::new(GzDecoder::new(File::open(path).map_err(fault)?)).lines();
        for (index, line) in lines.enumerate() {
            let line = line.map_err(fault)?;
            let line: Line = serde_json::from_str(&line).map_err(|source| CorpusError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })?;
            let code = line.lang.split('-').next().unwrap_or_default();
            if !CODES.contains(&code) {
                continue;
            }
            let language = Language::of(code);
            let said =
                line.turns.into_iter().flatten().filter(|turn| turn.role == "user").map(|turn| turn.text);
            for text in line.text.into_iter().chain(said) {
                let text = cut(text.trim(), TEXT_BYTES_MAX);
                if text.is_empty() {
                    continue;
                }
                for role in roles_of(name, &line.kind) {
                    let groups = self.groups.entry(*role).or_default();
                    let group = *known.entry((*role, line.group.clone())).or_insert_with(|| {
                        groups.push(BTreeMap::new());
                        groups.len() as u32 - 1
                    });
                    groups[group as usize].entry(language).or_insert_with(|| text.into());
                    self.texts.entry((*role, language)).or_default().push(Text { text: text.into(), group });
                }
            }
        }
        Ok(())
    }

    /// A text, where there is one for this role and language.
    pub fn text(&self, role: Role, language: Language, random: &mut Random) -> Option<&str> {
        let texts = self.texts.get(&(role, language)).filter(|texts| !texts.is_empty())?;
        Some(&random.pick(texts).text)
    }

    /// The text that says the same as an English one that `random` picks, in this language where there is
    /// one.
    pub fn same_text(&self, role: Role, language: Language, random: &mut Random) -> Option<&str> {
        let texts = self.texts.get(&(role, crate::grammar::ENGLISH)).filter(|texts| !texts.is_empty())?;
        let picked = random.pick(texts);
        let group = &self.groups.get(&role)?[picked.group as usize];
        Some(group.get(&language).unwrap_or(&picked.text))
    }
}

fn roles_of(name: &str, kind: &str) -> &'static [Role] {
    if let Some((_, roles)) = ROLES.iter().find(|(known, _)| *known == name) {
        return roles;
    }
    match kind {
        "user" | "dialogue" => &[Role::Chat],
        "system" => &[Role::Preamble],
        "template" => &[Role::Instruction],
        "tool" => &[Role::Task],
        _ => &[Role::Document],
    }
}

/// Files are split, never their lines: neighbours share templates. Of the files of one first role, every
/// other one is to tune on.
fn is_chosen(name: &str, names: &[String], choice: &Choice) -> bool {
    let role = |name: &str| roles_of(name, "user").first().copied();
    let place = names.iter().filter(|other| role(other) == role(name)).position(|other| other == name);
    match choice {
        Choice::All => true,
        Choice::Tune => place.is_some_and(|place| place % 2 == 0),
        Choice::Test => place.is_some_and(|place| place % 2 == 1),
        Choice::Named(chosen) => chosen.iter().any(|chosen| chosen == name),
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = File::create(directory.path().join(format!("{name}.jsonl.gz"))).unwrap();
            let mut out = GzEncoder::new(file, Compression::fast());
            out.write_all(text.as_bytes()).unwrap();
            out.finish().unwrap();
        }
        directory
    }

    const CHAT: &str = concat!(
        r#"{"id":"x:0","kind":"user","lang":"en","text":" one ","group":"g"}"#,
        "\n",
        r#"{"id":"x:1","kind":"user","lang":"de","text":"eins","group":"g"}"#,
        "\n",
        r#"{"id":"x:2","kind":"user","lang":"tlh","text":"wa'","group":"g"}"#,
    );

    #[test]
    fn a_group_gives_the_same_text_in_another_language() {
        let directory = directory(&[("mine", CHAT)]);
        let corpus = Corpus::read(directory.path(), &Choice::All).unwrap();
        let (german, french) = (Language::of("de"), Language::of("fr"));
        let mut random = Random::of(&[1]);
        assert_eq!(corpus.text(Role::Chat, german, &mut random), Some("eins"));
        assert_eq!(corpus.text(Role::Chat, french, &mut random), None);
        assert_eq!(corpus.same_text(Role::Chat, german, &mut random), Some("eins"));
        assert_eq!(corpus.same_text(Role::Chat, french, &mut random), Some("one"));
    }

    #[test]
    fn no_file_is_both_tuned_and_tested_on_and_none_is_left_out() {
        let directory = directory(&[("a", CHAT), ("b", CHAT), ("bbh", CHAT), ("flan-cot", CHAT)]);
        let files = |choice| Corpus::read(directory.path(), &choice).unwrap().files;
        assert_eq!(files(Choice::Tune), ["a", "bbh"]);
        assert_eq!(files(Choice::Test), ["b", "flan-cot"]);
        assert_eq!(files("b,bbh".parse().unwrap()), ["b", "bbh"]);
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let directory = directory(&[("a", "{\"kind\":1}")]);
        let error = |choice| Corpus::read(directory.path(), &choice).unwrap_err().to_string();
        assert!(error(Choice::All).contains("a.jsonl.gz line 1 is no corpus line"));
        assert!(error("z".parse().unwrap()).ends_with("is chosen; there are: a"));
        let missing = Corpus::read(Path::new("/does/not/exist"), &Choice::All).unwrap_err().to_string();
        assert!(missing.starts_with("/does/not/exist cannot be read"), "{missing}");
    }
}
