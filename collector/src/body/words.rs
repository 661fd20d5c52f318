//! The words of a content: a text, a list of texts and parts, or one part.

use crate::json::{Fault, Json, Text, Value};
use std::borrow::Cow;

/// Deepest nesting of parts that is looked into.
const DEPTH_MAX: usize = 8;

/// Text that was gathered; nothing is copied while it comes from one place.
#[derive(Default)]
pub(super) struct Words<'b> {
    text: Option<Cow<'b, str>>,
    /// The message around them has a role.
    is_of_message: bool,
}

impl<'b> Words<'b> {
    pub(super) fn into_text(self) -> Option<Cow<'b, str>> {
        self.text
    }

    fn add(&mut self, text: Text<'b>) {
        if text.is_blank() {
            return;
        }
        let text = text.decode();
        match &mut self.text {
            None => self.text = Some(text),
            Some(words) => {
                let words = words.to_mut();
                words.push('\n');
                words.push_str(&text);
            }
        }
    }

    /// The words of the content at `json`, which is consumed.
    pub(super) fn of(json: &mut Json<'b>) -> Result<Self, Fault> {
        let mut words = Self::default();
        words.read(json, 0)?;
        Ok(words)
    }

    /// The same of a message that has a role, which no part takes back but those that say that they are a
    /// tool's: servers do not read the role of a part.
    pub(super) fn of_message(json: &mut Json<'b>) -> Result<Self, Fault> {
        let mut words = Self { is_of_message: true, ..Self::default() };
        words.read(json, 0)?;
        Ok(words)
    }

    fn read(&mut self, json: &mut Json<'b>, depth: usize) -> Result<(), Fault> {
        match json.peek() {
            Some(b'"') => {
                if let Value::Text(text) = json.value()? {
                    self.add(text);
                }
                Ok(())
            }
            Some(b'[') if depth < DEPTH_MAX => json.array(|json, _| self.read(json, depth + 1)),
            Some(b'{') if depth < DEPTH_MAX => self.part(json, depth),
            _ => json.skip(),
        }
    }

    /// A part has a type, and may have a role of its own. What a tool gave back, what the model said and what
    /// is no text at all are not the words of who wrote the message.
    fn part(&mut self, json: &mut Json<'b>, depth: usize) -> Result<(), Fault> {
        let (mut is_text, mut is_own, mut texts) = (true, true, Vec::new());
        json.object(|json, key| {
            match &*lower(&key.bytes()) {
                // Of several, the last, as parsers do.
                b"type" => {
                    is_text = !matches!(json.value()?, Value::Text(kind) if !is_text_type(&kind.bytes()))
                }
                b"role" => {
                    is_own = match json.value()? {
                        Value::Text(role) => match Role::of(&role.bytes()) {
                            Role::Tool => false,
                            Role::Model => self.is_of_message,
                            Role::User | Role::System | Role::Unknown => true,
                        },
                        _ => true,
                    };
                }
                b"text" | b"content" | b"parts" => {
                    texts.push(json.clone());
                    json.skip()?;
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        for mut text in texts.into_iter().filter(|_| is_text && is_own) {
            self.read(&mut text, depth + 1)?;
        }
        Ok(())
    }
}

/// Whether a content of the user's without words has some in a shape in which nobody writes them: a number,
/// or what only a model says. Pictures, files and what tools gave back have none.
pub(super) fn hides_words(json: &mut Json<'_>) -> bool {
    hides_words_within(json, 0).unwrap_or(false)
}

fn hides_words_within(json: &mut Json<'_>, depth: usize) -> Result<bool, Fault> {
    const OF_A_MODEL: [&[u8]; 3] = [b"refus", b"think", b"reason"];
    let mut hides = false;
    match json.peek() {
        Some(b'[') if depth < DEPTH_MAX => {
            json.array(|json, _| {
                hides |= hides_words_within(json, depth + 1)?;
                Ok(())
            })?;
        }
        Some(b'{') if depth < DEPTH_MAX => {
            let (mut is_text, mut is_of_a_model) = (true, false);
            json.object(|json, key| {
                match &*lower(&key.bytes()) {
                    b"type" => {
                        if let Value::Text(kind) = json.value()? {
                            let kind = kind.bytes();
                            is_text = is_text_type(&kind);
                            is_of_a_model = OF_A_MODEL.iter().any(|name| contains(&kind, name));
                        }
                    }
                    b"text" | b"content" | b"parts" => hides |= hides_words_within(json, depth + 1)?,
                    _ => json.skip()?,
                }
                Ok(())
            })?;
            hides = hides && is_text || is_of_a_model;
        }
        _ => hides = matches!(json.value()?, Value::Number(_) | Value::Bool(_)),
    }
    Ok(hides)
}

/// Whether a name has a part, in lower or in upper case.
fn contains(name: &[u8], part: &[u8]) -> bool {
    name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

/// Whether a part of this type is text of who wrote the message. A type that nobody knows is: a client shall
/// not hide its words by a new name for them.
fn is_text_type(kind: &[u8]) -> bool {
    const NOT_TEXT: [&[u8]; 14] = [
        b"tool",
        b"function",
        b"call",
        b"output",
        b"result",
        b"image",
        b"audio",
        b"video",
        b"file",
        b"document",
        b"think",
        b"reason",
        b"refus",
        b"media",
    ];
    !NOT_TEXT.iter().any(|part| contains(kind, part))
}

/// Whose words a message has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    User,
    System,
    Model,
    Tool,
    /// Of a role that nobody knows.
    Unknown,
}

impl Role {
    pub(super) fn of(name: &[u8]) -> Self {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"user") || is(b"human") {
            Self::User
        } else if is(b"system") || is(b"developer") {
            Self::System
        } else if MODELS.iter().any(|other| is(other)) {
            Self::Model
        } else if TOOLS.iter().any(|other| is(other)) {
            Self::Tool
        } else {
            Self::Unknown
        }
    }
}

/// Names of the model.
const MODELS: [&[u8]; 5] = [b"assistant", b"model", b"chatbot", b"bot", b"ai"];

/// Names of tools.
const TOOLS: [&[u8]; 6] = [b"tool", b"function", b"ipython", b"tool_result", b"tool_use", b"observation"];

/// A key in lower case, with the two characters beyond ASCII whose lower case is within it.
pub(super) fn lower(key: &[u8]) -> Cow<'_, [u8]> {
    if key.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_') {
        return Cow::Borrowed(key);
    }
    let text = String::from_utf8_lossy(key).replace('\u{17f}', "s").replace('\u{212a}', "k");
    Cow::Owned(text.to_ascii_lowercase().into_bytes())
}
