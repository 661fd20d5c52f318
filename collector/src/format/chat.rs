//! What a request body asks the model: the bodies of OpenAI's chat, completions and responses APIs
//! and of Anthropic's messages. Bodies are the client's own words, so everything here is lenient:
//! what does not fit is not known.

use super::value::{Name, Value};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What a body asks. It holds text, so it cannot be printed.
#[derive(Default)]
pub(super) struct Chat {
    pub(super) model: Option<String>,
    /// First message of the system or the developer.
    pub(super) system: Option<String>,
    /// Last message of the user.
    pub(super) prompt: Option<String>,
    pub(super) max_tokens: Option<i64>,
}

/// Reads a body; none where it is not a JSON object that asks a model.
pub(super) fn read(body: &str) -> Option<Chat> {
    if !body.trim_start().starts_with('{') {
        return None;
    }
    let mut parser = serde_json::Deserializer::from_str(body);
    let (chat, is_chat) = parser.deserialize_map(ChatVisitor).ok()?;
    is_chat.then_some(chat)
}

enum Part {
    Model,
    Messages,
    System,
    MaxTokens,
    Unknown,
}

struct ChatVisitor;

impl<'de> Visitor<'de> for ChatVisitor {
    type Value = (Chat, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request body")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(Chat, bool), A::Error> {
        let (mut chat, mut is_chat, mut system) = (Chat::default(), false, None);
        let part = |name: &str| match name {
            "model" => Part::Model,
            "messages" | "prompt" | "input" => Part::Messages,
            "system" | "instructions" => Part::System,
            "max_tokens" | "max_completion_tokens" | "max_output_tokens" => Part::MaxTokens,
            _ => Part::Unknown,
        };
        while let Some(part) = entries.next_key_seed(Name(part))? {
            match part {
                Part::Model => {
                    if let Value::Text(text) = entries.next_value()? {
                        chat.model = Some(text.into_owned()).filter(|text| !text.is_empty());
                    }
                }
                Part::Messages => {
                    let content: Content = entries.next_value()?;
                    is_chat = true;
                    chat.system = content.system;
                    chat.prompt = content.user.or(content.text);
                }
                Part::System => system = entries.next_value::<Content>()?.text,
                Part::MaxTokens => {
                    if let Value::Integer(number) = entries.next_value()? {
                        chat.max_tokens = (0..=crate::limits::COUNT_MAX).contains(&number).then_some(number);
                    }
                }
                Part::Unknown => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        chat.system = system.or(chat.system);
        Ok((chat, is_chat))
    }
}

/// A text, a list of texts or parts, a message, or a list of messages: clients mix them.
#[derive(Default)]
struct Content {
    /// Text of strings and parts, joined by line breaks.
    text: Option<String>,
    /// First message of the system or the developer inside.
    system: Option<String>,
    /// Last message of the user inside.
    user: Option<String>,
}

impl Content {
    /// Takes the text over, so that deep nesting copies nothing.
    fn add_text(&mut self, text: String) {
        match &mut self.text {
            _ if text.is_empty() => {}
            None => self.text = Some(text),
            Some(joined) => {
                joined.push('\n');
                joined.push_str(&text);
            }
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        let mut content = Content::default();
        content.add_text(text.to_owned());
        Ok(content)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut all = Content::default();
        while let Some(item) = items.next_element::<Content>()? {
            if let Some(text) = item.text {
                all.add_text(text);
            }
            all.system = all.system.or(item.system);
            all.user = item.user.or(all.user);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        enum Role {
            System,
            User,
            Other,
        }
        let (mut role, mut text) = (None, None);
        let part = |name: &str| match name {
            "role" => 0,
            "content" | "text" => 1,
            _ => 2,
        };
        while let Some(part) = entries.next_key_seed(Name(part))? {
            match part {
                0 => {
                    role = match entries.next_value()? {
                        Value::Text(name) if matches!(&*name, "system" | "developer") => Some(Role::System),
                        Value::Text(name) if name == "user" => Some(Role::User),
                        _ => Some(Role::Other),
                    };
                }
                1 => text = entries.next_value::<Content>()?.text,
                _ => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        let none = Content::default();
        Ok(match role {
            Some(Role::System) => Content { system: text, ..none },
            Some(Role::User) => Content { user: text, ..none },
            Some(Role::Other) => none,
            None => Content { text, ..none },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(body: &str, expected: Expect) {
        let chat = read(body).map(|chat| (chat.model, chat.system, chat.prompt, chat.max_tokens));
        expected.assert_eq(&format!("{chat:?}"));
    }

    #[test]
    fn the_last_user_message_and_the_first_system_message_count() {
        check(
            r#"{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"content":"three","role":"user"}],"max_tokens":9}"#,
            expect![[r#"Some((Some("m"), Some("be kind"), Some("three"), Some(9)))"#]],
        );
    }

    #[test]
    fn content_in_parts_is_joined() {
        check(
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]}]}"#,
            expect![[r#"Some((None, None, Some("a\nb"), None))"#]],
        );
    }

    #[test]
    fn other_apis_are_read_too() {
        check(
            r#"{"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"u"}],"max_completion_tokens":5}"#,
            expect![[r#"Some((None, Some("s"), Some("u"), Some(5)))"#]],
        );
        check(r#"{"prompt":"once upon"}"#, expect![[r#"Some((None, None, Some("once upon"), None))"#]]);
        check(
            r#"{"instructions":"i","input":"q"}"#,
            expect![[r#"Some((None, Some("i"), Some("q"), None))"#]],
        );
        check(
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"q"}]}]}"#,
            expect![[r#"Some((None, None, Some("q"), None))"#]],
        );
    }

    #[test]
    fn what_clients_get_wrong_is_not_known() {
        check(r#"{"model":7,"messages":42,"max_tokens":-1}"#, expect!["Some((None, None, None, None))"]);
        check(
            r#"{"messages":[null,1,"x",{"role":3,"content":{}}]}"#,
            expect![[r#"Some((None, None, Some("x"), None))"#]],
        );
        check(r#"{"a":1}"#, expect!["None"]);
        check(r#"{"messages":"#, expect!["None"]);
        check("plain words", expect!["None"]);
    }
}
