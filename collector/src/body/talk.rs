//! A conversation: messages with roles, or words without.

use super::words::{Role, Words, hides_words, lower};
use crate::json::{Fault, Json, Value};
use crate::limits::{FEW_LETTERS, LITTLE_MESSAGES_MAX};
use std::borrow::Cow;

/// What a value that holds a conversation says.
///
/// It remembers where the words stand and reads them when they are asked for, so that a long conversation
/// costs no more than passing over it.
#[derive(Default)]
pub(super) struct Talk<'b> {
    /// Content of the last message of the user that has words.
    user: Option<Json<'b>>,
    /// What was said before that one.
    earlier: Earlier<'b>,
    /// Content of the first message of the system or the developer that has words.
    system: Option<Json<'b>>,
    /// The whole value, where words without a role are in it.
    loose: Option<Json<'b>>,
    /// Content of the last message whose role nobody knows: a client shall not hide its words by a new name
    /// for itself.
    strange: Option<Json<'b>>,
    /// Messages of the user that have words.
    pub(super) turns: i32,
    /// Calls of tools by the model.
    pub(super) tools_called: i32,
    /// Words are there as numbers of tokens, or in a shape in which nobody writes them.
    pub(super) has_hidden_words: bool,
    /// The model has words.
    has_words_of_model: bool,
    /// The user sends pictures, files or what tools gave back.
    has_media: bool,
    /// Anything was there at all.
    pub(super) is_something: bool,
}

impl<'b> Talk<'b> {
    /// Whether it has words of a user or of a system.
    pub(super) fn has_words(&self) -> bool {
        self.has_prompt() || self.system.is_some()
    }

    /// Whether it has words of a user.
    pub(super) fn has_prompt(&self) -> bool {
        self.asked().is_some()
    }

    /// Where the last words of the user stand.
    fn asked(&self) -> Option<&Json<'b>> {
        self.user.as_ref().or(self.loose.as_ref()).or(self.strange.as_ref())
    }

    /// The last words of the user.
    pub(super) fn prompt(&self) -> Option<Cow<'b, str>> {
        match (&self.user, &self.loose) {
            (None, Some(loose)) => words(loose),
            _ => own_words(self.asked()?),
        }
    }

    /// What was said before those words, where they are few: whoever says "go on" asks what was asked before.
    pub(super) fn before(&self) -> Option<Cow<'b, str>> {
        self.user.as_ref().filter(|user| says_little(user)).and_then(|_| self.earlier.words())
    }

    /// Whether the last words of the user are few.
    pub(super) fn asks_little(&self) -> bool {
        match (&self.user, &self.loose) {
            (None, Some(loose)) if loose.clone().peek() != Some(b'"') => {
                words(loose).is_some_and(|words| is_little(&words))
            }
            // Without reading more of a text than tells it.
            _ => self.asked().is_some_and(says_little),
        }
    }

    /// The last words of the user that are more than a few, or else all of them.
    pub(super) fn last_words(&self) -> Option<Cow<'b, str>> {
        self.before().or_else(|| self.prompt())
    }

    /// Whether it asks something in words that are read.
    pub(super) fn asks_enough(&self) -> bool {
        self.has_prompt() && (!self.asks_little() || self.before().is_some())
    }

    /// Whether somebody asks in words that are not read. A conversation in which only the model speaks is one
    /// too.
    pub(super) fn hides_words(&self) -> bool {
        let speaks_alone = self.has_words_of_model && !self.has_media && self.system.is_none();
        self.has_hidden_words && !self.asks_enough() || speaks_alone && !self.has_prompt()
    }

    /// The first words of the system.
    pub(super) fn system(&self) -> Option<Cow<'b, str>> {
        own_words(self.system.as_ref()?)
    }

    /// Reads the value at `json`: a text, a message, or a list of these. What was read before a fault is
    /// kept.
    pub(super) fn read(&mut self, json: &mut Json<'b>) -> Result<(), Fault> {
        let whole = json.clone();
        let read = self.items(json, &whole, 0);
        if self.has_prompt() {
            self.turns = self.turns.max(1);
        }
        read
    }

    fn items(&mut self, json: &mut Json<'b>, whole: &Json<'b>, depth: usize) -> Result<(), Fault> {
        match json.peek() {
            // Some list lists: of alternatives, or of tokens.
            Some(b'[') if depth < 3 => json.array(|json, _| self.items(json, whole, depth + 1)),
            Some(b'{') => {
                self.is_something = true;
                self.message(json, whole)
            }
            _ => {
                match json.value()? {
                    Value::Text(text) if !text.is_blank() => {
                        self.is_something = true;
                        self.loose.get_or_insert_with(|| whole.clone());
                    }
                    Value::Number(_) => {
                        self.is_something = true;
                        self.has_hidden_words = true;
                    }
                    _ => {}
                }
                Ok(())
            }
        }
    }

    fn message(&mut self, json: &mut Json<'b>, whole: &Json<'b>) -> Result<(), Fault> {
        let here = json.clone();
        let (mut role, mut is_call, mut contents) = ((None, Precedence::LEAST), false, Vec::new());
        json.object(|json, key| {
            let key = key.bytes();
            let lower = lower(&key);
            match &*lower {
                b"role" | b"author" => {
                    let precedence = Precedence::of(&key, &[b"role"]);
                    let named = match json.value()? {
                        Value::Text(name) => Some(Role::of(&name.bytes())),
                        Value::Null => None,
                        _ => Some(Role::Unknown),
                    };
                    if precedence <= role.1 {
                        role = (named, precedence);
                    }
                }
                b"type" => {
                    is_call = matches!(json.value()?, Value::Text(kind) if kind.bytes().ends_with(b"_call"))
                }
                b"content" | b"parts" | b"message" | b"text" => {
                    contents.push((Precedence::of(&key, &[b"content", b"parts"]), json.clone()));
                    json.skip()?;
                }
                b"tool_calls" | b"toolcalls" => {
                    let mut calls = 0;
                    json.array(|json, index| {
                        calls = index + 1;
                        json.skip()
                    })?;
                    self.add_calls(calls);
                }
                b"function_call" => {
                    let is_call = matches!(json.value()?, Value::Object(_));
                    self.add_calls(usize::from(is_call));
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        self.add_calls(usize::from(is_call));
        // Of several, the one that servers read; of one key that stands twice, the last.
        contents.reverse();
        contents.sort_by_key(|(precedence, _)| *precedence);
        let mut contents = contents.into_iter().map(|(_, content)| content);
        match role.0 {
            Some(Role::User) => {
                let content = contents.find(|content| {
                    let is_read = has_words(content);
                    if !is_read || says_little(content) {
                        self.has_hidden_words |= hides_words(&mut content.clone());
                    }
                    self.has_media |= !is_read && holds_something(content);
                    is_read
                });
                if let Some(content) = content {
                    self.turns = self.turns.saturating_add(1);
                    if let Some(earlier) = self.user.replace(content) {
                        self.has_hidden_words |= !self.earlier.note(earlier);
                    }
                }
            }
            Some(Role::System) if self.system.is_none() => self.system = contents.find(has_words),
            Some(Role::System) => {}
            Some(Role::Unknown) => {
                if let Some(content) = contents.find(has_words) {
                    self.earlier.note_other(&content);
                    self.strange = Some(content);
                }
            }
            Some(role @ (Role::Model | Role::Tool)) => contents.for_each(|content| {
                if role == Role::Model && has_words(&content) {
                    self.has_words_of_model = true;
                    self.earlier.note_other(&content);
                }
                self.add_calls(calls_in(content));
            }),
            // A part among parts: its own type says whether it is words.
            None if words(&here).is_some() => {
                self.earlier.note_other(&here);
                self.loose.get_or_insert_with(|| whole.clone());
            }
            None => {}
        }
        Ok(())
    }

    fn add_calls(&mut self, calls: usize) {
        self.tools_called = self.tools_called.saturating_add(i32::try_from(calls).unwrap_or(i32::MAX));
    }
}

/// What was said before the last message of the user.
#[derive(Default)]
struct Earlier<'b> {
    /// The user's last message of more than a few words.
    user: Option<Json<'b>>,
    /// Those of few words behind it.
    little: Vec<Json<'b>>,
    /// The last of more than a few words that somebody else said, or that has no role: it may be the client's
    /// own.
    other: Option<Json<'b>>,
}

impl<'b> Earlier<'b> {
    /// Takes a message of the user; false where there is no more room.
    fn note(&mut self, content: Json<'b>) -> bool {
        if !says_little(&content) {
            self.user = Some(content);
            self.little.clear();
        } else if self.little.len() < LITTLE_MESSAGES_MAX {
            self.little.push(content);
        } else {
            return false;
        }
        true
    }

    fn note_other(&mut self, content: &Json<'b>) {
        if !says_little(content) {
            self.other = Some(content.clone());
        }
    }

    /// The words of the user, or else of others, with those of few words behind them.
    fn words(&self) -> Option<Cow<'b, str>> {
        let first = self.user.as_ref().or(self.other.as_ref());
        let mut all = first.into_iter().chain(&self.little).filter_map(own_words);
        let first = all.next()?;
        Some(all.fold(first, |words, more| Cow::Owned(format!("{words}\n{more}"))))
    }
}

/// How surely a server reads a key: the one that stands as it should before those that others know, and these
/// before one in another case. A client shall not hide its words behind a key that nobody reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Precedence(usize);

impl Precedence {
    const LEAST: Self = Self(usize::MAX);

    /// Of a key, where servers read these, the first most of all.
    fn of(key: &[u8], read: &[&[u8]]) -> Self {
        let is_lower = !key.iter().any(u8::is_ascii_uppercase);
        let place = read.iter().position(|known| known == &key);
        Self(place.unwrap_or(read.len() + usize::from(!is_lower)))
    }
}

/// The words of what has no role, or of which that does not matter.
fn words<'b>(content: &Json<'b>) -> Option<Cow<'b, str>> {
    Words::of(&mut content.clone()).ok()?.into_text()
}

/// The words of a message's content: whose they are, its role has said.
fn own_words<'b>(content: &Json<'b>) -> Option<Cow<'b, str>> {
    Words::of_message(&mut content.clone()).ok()?.into_text()
}

fn has_words(content: &Json<'_>) -> bool {
    let mut json = content.clone();
    match json.peek() {
        // The common case, without reading the text.
        Some(b'"') => matches!(json.value(), Ok(Value::Text(text)) if !text.is_blank()),
        _ => own_words(content).is_some(),
    }
}

/// Whether the words of a content are so few that they ask nothing by themselves.
fn says_little(content: &Json<'_>) -> bool {
    match content.clone().value() {
        Ok(Value::Text(text)) => text.letters(FEW_LETTERS) < FEW_LETTERS,
        _ => own_words(content).is_none_or(|words| is_little(&words)),
    }
}

fn is_little(words: &str) -> bool {
    words.chars().filter(|char| char.is_alphanumeric()).nth(FEW_LETTERS - 1).is_none()
}

/// Whether a content without words is a list or an object all the same.
fn holds_something(content: &Json<'_>) -> bool {
    matches!(content.clone().value(), Ok(Value::Array(raw) | Value::Object(raw)) if raw.len() > 2)
}

/// Calls of tools among the parts of what the model said.
fn calls_in(mut content: Json<'_>) -> usize {
    let mut calls = 0;
    if content.peek() != Some(b'[') {
        return 0;
    }
    let read = content.array(|json, _| {
        json.object(|json, key| {
            match &*key.bytes() {
                b"type" => {
                    let is_call = matches!(json.value()?, Value::Text(kind) if is_call(&kind.bytes()));
                    calls += usize::from(is_call);
                }
                b"functionCall" | b"function_call" | b"toolUse" => {
                    calls += 1;
                    json.skip()?;
                }
                _ => json.skip()?,
            }
            Ok(())
        })
    });
    // What was counted before a fault counts.
    let _ = read;
    calls
}

/// Whether a part of this type is a call of a tool.
pub(super) fn is_call(kind: &[u8]) -> bool {
    kind.ends_with(b"tool_use") || kind.ends_with(b"tool_call") || kind.ends_with(b"_call")
}
