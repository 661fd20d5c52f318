//! What a request asks the model.

use super::path::Api;
use super::talk::Talk;
use super::words::{Words, lower};
use crate::field::{Field, FieldSet};
use crate::json::{Fault, Json, Text, Value};
use crate::read::{self, Got};
use std::borrow::Cow;
use weir_schemas::ResponseFormat;

/// Deepest nesting of objects whose keys are looked at.
const DEPTH_MAX: usize = 4;

/// Which part of a request a value is, where a log keeps them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Body,
    /// The conversation: messages, a text, or a whole body.
    Messages,
    /// Everything but the conversation.
    Parameters,
}

/// What a request asks. It holds text, so it cannot be printed.
#[derive(Default)]
pub(crate) struct Ask<'b> {
    /// Model that it asks for.
    pub(crate) model: Option<Cow<'b, str>>,
    /// Upper bound of the answer, in tokens.
    pub(crate) max_tokens: Option<i64>,
    /// Tools that it offers.
    pub(crate) tools_offered: Option<i32>,
    /// Sampling temperature in thousandths.
    pub(crate) temperature_permille: Option<i32>,
    /// Answers that it asks for.
    pub(crate) candidates: Option<i32>,
    /// Whether it asks for probabilities.
    pub(crate) logprobs: Option<bool>,
    /// What the answer shall be.
    pub(crate) response_format: Option<ResponseFormat>,
    /// Whether it asks for the answer in pieces.
    pub(crate) stream: Option<bool>,
    /// Fields that are there and of no use.
    pub(crate) unknown: FieldSet,
    talks: [Talk<'b>; Source::COUNT],
    /// What is a system's words to some servers, by the key that is for them.
    preamble: Talk<'b>,
    /// What is so to the server of the Responses API alone.
    instructions: Talk<'b>,
    /// What stands in an object of the request that is one itself, or holds its parameters.
    inner: Option<Box<Ask<'b>>>,
    /// Messages before the one that is asked.
    history: Talk<'b>,
    /// Words that stand alone.
    said: Option<Cow<'b, str>>,
    asks: bool,
}

/// Where a conversation may stand, in the order in which servers of chats read it.
#[derive(Clone, Copy)]
enum Source {
    Messages,
    Input,
    Prompt,
    Message,
    Contents,
    Other,
}

impl Source {
    const COUNT: usize = 6;

    /// The order in which the server of an API reads them.
    fn order(api: Api) -> [Self; Self::COUNT] {
        let [messages, input, prompt, message, contents, other] =
            [Self::Messages, Self::Input, Self::Prompt, Self::Message, Self::Contents, Self::Other];
        match api {
            Api::Chat => [messages, input, message, prompt, contents, other],
            Api::Completions => [prompt, input, messages, message, contents, other],
            Api::Responses => [input, messages, prompt, message, contents, other],
        }
    }
}

impl<'b> Ask<'b> {
    /// Reads a part of a request. What was read before a fault is kept; false where there was one.
    pub(crate) fn read(&mut self, bytes: &'b [u8], part: Part) -> bool {
        let mut json = Json::new(bytes);
        let read = match (json.peek(), part) {
            (Some(b'{'), _) => json.object(|json, key| self.entry(json, key, 0)),
            (_, Part::Parameters) => json.skip(),
            _ => self.talk(&mut json, Source::Messages),
        };
        read.is_ok()
    }

    /// Takes words that stand alone, without JSON around them.
    pub(crate) fn say(&mut self, words: &'b [u8]) {
        self.asks = true;
        self.said = Some(String::from_utf8_lossy(words)).filter(|words| !words.is_empty());
    }

    /// Whether anything was read that asks a model.
    pub(crate) fn asks(&self) -> bool {
        self.asks
    }

    /// The conversation that the server reads: the first one in its order that has words of a user.
    fn spoken(&self, api: Api) -> Option<&Talk<'b>> {
        let all = || Source::order(api).into_iter().map(|source| &self.talks[source as usize]);
        all().find(|talk| talk.has_prompt()).or_else(|| all().find(|talk| talk.has_words()))
    }

    /// Who asks something: this, or else what is in it.
    fn speaker(&self, api: Api) -> &Self {
        match &self.inner {
            Some(inner)
                // Servers of chats that find a system's words alone look nowhere else.
                if self.spoken(api).is_none() && !self.asks_something() =>
            {
                inner.speaker(api)
            }
            _ => self,
        }
    }

    /// Whether it has words of a user of its own.
    fn asks_something(&self) -> bool {
        self.said.is_some() || self.has_prompt()
    }

    /// Whether it has words of a user, or something in it has.
    fn says_something(&self) -> bool {
        self.asks_something() || self.inner.as_ref().is_some_and(|inner| inner.says_something())
    }

    /// The last words of the user.
    pub(crate) fn prompt(&self, api: Api) -> Option<Cow<'b, str>> {
        let speaker = self.speaker(api);
        speaker.spoken(api).and_then(Talk::prompt).or_else(|| speaker.said.clone())
    }

    /// What the user said before those words, where they are too few to ask anything.
    pub(crate) fn prompt_before(&self, api: Api) -> Option<Cow<'b, str>> {
        let speaker = self.speaker(api);
        let talk = speaker.spoken(api).filter(|talk| talk.asks_little())?;
        talk.before().or_else(|| speaker.history.last_words())
    }

    /// The words of the system. Where one is among the messages, servers of chats read that; those that read
    /// the key for it take none among the messages.
    pub(crate) fn system(&self, api: Api) -> Option<Cow<'b, str>> {
        self.speaker(api).own_system(api).or_else(|| self.own_system(api))
    }

    fn own_system(&self, api: Api) -> Option<Cow<'b, str>> {
        let spoken = || self.spoken(api).and_then(Talk::system);
        let named = |talk: &Talk<'b>| talk.prompt().or_else(|| talk.system());
        let (preamble, instructions) = (|| named(&self.preamble), || named(&self.instructions));
        let first = match api {
            Api::Responses => instructions().or_else(preamble).or_else(spoken),
            Api::Chat | Api::Completions => spoken().or_else(preamble).or_else(instructions),
        };
        first.or_else(|| self.talks.iter().find_map(Talk::system))
    }

    /// Messages of the user, where there is any.
    pub(crate) fn turns(&self, api: Api) -> Option<i32> {
        let speaker = self.speaker(api);
        let turns = speaker.spoken(api).map(|talk| talk.turns).or(speaker.said.as_ref().map(|_| 1));
        turns.map(|turns| turns.saturating_add(speaker.history.turns))
    }

    /// Calls of tools in the conversation, where there is one.
    pub(crate) fn tools_called(&self, api: Api) -> Option<i32> {
        let speaker = self.speaker(api);
        speaker.spoken(api).map(|talk| talk.tools_called.saturating_add(speaker.history.tools_called))
    }

    /// Whether words are there that cannot be read: as numbers of tokens, or in another shape in which nobody
    /// writes them.
    pub(crate) fn has_hidden_words(&self) -> bool {
        let is_hidden = self.talks.iter().any(Talk::hides_words);
        let is_within = || self.inner.as_ref().is_some_and(|inner| inner.has_hidden_words());
        let asks_enough = || self.said.is_some() || self.talks.iter().any(Talk::asks_enough);
        (is_hidden || is_within()) && !asks_enough()
    }

    fn has_prompt(&self) -> bool {
        self.talks.iter().any(Talk::has_prompt)
    }

    /// Takes in what an object of the request says. What it says beside the request erases nothing.
    fn nest(&mut self, inner: Self) {
        let unknown = &mut self.unknown;
        let mut fill = Fill { unknown, inner: inner.unknown };
        fill.with(&mut self.model, &inner.model, Field::Model);
        fill.with(&mut self.max_tokens, &inner.max_tokens, Field::MaxTokens);
        fill.with(&mut self.temperature_permille, &inner.temperature_permille, Field::Temperature);
        fill.with(&mut self.candidates, &inner.candidates, Field::Candidates);
        fill.with(&mut self.logprobs, &inner.logprobs, Field::Logprobs);
        fill.with(&mut self.response_format, &inner.response_format, Field::ResponseFormat);
        fill.with(&mut self.stream, &inner.stream, Field::Stream);
        self.tools_offered = self.tools_offered.or(inner.tools_offered);
        self.asks |= inner.asks;
        if inner.says_something() || self.inner.is_none() {
            self.inner = Some(Box::new(inner));
        }
    }

    /// Reads an object of the request.
    fn object(&mut self, json: &mut Json<'b>, depth: usize) -> Result<(), Fault> {
        let mut inner = Self::default();
        let read = json.object(|json, key| inner.entry(json, key, depth + 1));
        self.nest(inner);
        read
    }

    /// Reads a conversation; one that says nothing erases none that does.
    fn talk(&mut self, json: &mut Json<'b>, source: Source) -> Result<(), Fault> {
        let mut talk = Talk::default();
        let read = talk.read(json);
        self.asks = true;
        keep(&mut self.talks[source as usize], talk);
        read
    }

    fn entry(&mut self, json: &mut Json<'b>, key: Text<'b>, depth: usize) -> Result<(), Fault> {
        match &*key.bytes() {
            b"model" | b"modelId" | b"model_id" => {
                let got = read::text(json.value()?);
                take(&mut self.model, got.and_then(without_list), &mut self.unknown, Field::Model);
            }
            b"messages" => self.talk(json, Source::Messages)?,
            b"contents" => self.talk(json, Source::Contents)?,
            b"input" => self.talk(json, Source::Input)?,
            b"prompt" => self.prompt_entry(json, depth)?,
            b"message" | b"query" => self.talk(json, Source::Message)?,
            b"inputs" | b"inputText" | b"texts" | b"content" | b"documents" => {
                // The documents of a reranking are what it asks about, beside the query.
                self.talk(json, Source::Other)?;
            }
            b"chat_history" => {
                let mut talk = Talk::default();
                let read = talk.read(json);
                keep(&mut self.history, talk);
                read?;
            }
            b"instructions" => {
                let mut talk = Talk::default();
                let read = talk.read(json);
                keep(&mut self.instructions, talk);
                read?;
            }
            b"system" | b"preamble" | b"context" | b"systemInstruction" | b"system_instruction" => {
                let mut talk = Talk::default();
                let read = talk.read(json);
                keep(&mut self.preamble, talk);
                read?;
            }
            b"max_tokens"
            | b"max_completion_tokens"
            | b"max_output_tokens"
            | b"maxOutputTokens"
            | b"maxTokens"
            | b"max_new_tokens"
            | b"maxTokenCount"
            | b"max_tokens_to_sample"
            | b"max_gen_len"
            | b"num_predict"
            | b"n_predict" => {
                let got = read::count(json.value()?);
                take(&mut self.max_tokens, got, &mut self.unknown, Field::MaxTokens);
            }
            b"temperature" => {
                let got = read::permille(json.value()?);
                take(&mut self.temperature_permille, got, &mut self.unknown, Field::Temperature);
            }
            b"n" | b"candidateCount" | b"num_generations" | b"num_return_sequences" => {
                let got = read::small(json.value()?);
                take(&mut self.candidates, got, &mut self.unknown, Field::Candidates);
            }
            b"logprobs" | b"top_logprobs" | b"responseLogprobs" | b"top_n_tokens" => {
                let got = match json.value()? {
                    // Some APIs ask for so many of them; none of the others, with 0, is still the token's
                    // own.
                    Value::Number(_) => Got::Known(true),
                    other => read::flag(other),
                };
                take(&mut self.logprobs, got, &mut self.unknown, Field::Logprobs);
            }
            b"stream" => {
                let got = read::flag(json.value()?);
                take(&mut self.stream, got, &mut self.unknown, Field::Stream);
            }
            b"tools" | b"functions" => {
                let tools = tools_in(json)?;
                if tools > 0 {
                    self.tools_offered = Some(tools);
                }
            }
            b"response_format"
            | b"format"
            | b"responseMimeType"
            | b"response_mime_type"
            | b"output_format" => {
                self.format(json)?;
            }
            b"responseSchema"
            | b"response_schema"
            | b"responseJsonSchema"
            | b"guided_json"
            | b"json_schema" => {
                if matches!(json.value()?, Value::Object(_)) {
                    self.response_format = Some(ResponseFormat::JsonSchema);
                }
            }
            b"generationConfig"
            | b"generation_config"
            | b"inferenceConfig"
            | b"textGenerationConfig"
            | b"parameters"
            | b"options"
            | b"toolConfig"
            | b"text"
            | b"request"
            | b"params"
            | b"config"
                if depth < DEPTH_MAX && json.peek() == Some(b'{') =>
            {
                self.object(json, depth)?;
            }
            // Vertex, Gemini and Anthropic take several requests in one.
            b"instances" | b"requests" if depth < DEPTH_MAX => {
                json.array(|json, _| self.object(json, depth))?;
            }
            other => self.other_case(json, other)?,
        }
        Ok(())
    }

    /// Servers in Go take keys in any case. One that stands as it should counts before them, because others
    /// do not.
    fn other_case(&mut self, json: &mut Json<'b>, key: &[u8]) -> Result<(), Fault> {
        let lower = lower(key);
        let is_other = *lower != *key;
        match &*lower {
            b"messages" | b"contents" | b"input" | b"inputs" | b"prompt" | b"message" | b"query"
                if is_other =>
            {
                self.talk(json, Source::Other)
            }
            b"system" | b"instructions" if is_other && !self.preamble.has_words() => self.preamble.read(json),
            b"model" if is_other && self.model.is_none() => {
                let got = read::text(json.value()?);
                take(&mut self.model, got, &mut self.unknown, Field::Model);
                Ok(())
            }
            _ => json.skip(),
        }
    }

    /// A prompt may be an object: a stored one with what it is filled with, or one with a context.
    fn prompt_entry(&mut self, json: &mut Json<'b>, depth: usize) -> Result<(), Fault> {
        if json.peek() != Some(b'{') || depth >= DEPTH_MAX {
            return self.talk(json, Source::Prompt);
        }
        self.asks = true;
        json.object(|json, key| match &*key.bytes() {
            b"variables" => json.object(|json, _| self.fill(json)),
            b"text" => self.talk(json, Source::Prompt),
            b"context" | b"messages" => self.entry(json, key, depth + 1),
            _ => json.skip(),
        })
    }

    /// What a stored prompt is filled with is what the client says.
    fn fill(&mut self, json: &mut Json<'b>) -> Result<(), Fault> {
        if let Some(words) = Words::of(json)?.into_text() {
            self.said = Some(match self.said.take() {
                None => words,
                Some(said) => Cow::Owned(format!("{said}\n{words}")),
            });
        }
        Ok(())
    }

    fn format(&mut self, json: &mut Json<'b>) -> Result<(), Fault> {
        let mut got = Got::Absent;
        if json.peek() == Some(b'{') {
            json.object(|json, key| {
                match &*key.bytes() {
                    b"type" => {
                        got = match read::text(json.value()?) {
                            Got::Known(name) => Got::Known(of_type(&name)),
                            Got::Absent => Got::Absent,
                            Got::Bad => Got::Bad,
                        };
                    }
                    // A bare schema, as Ollama takes one.
                    b"properties" | b"schema" | b"json_schema" => {
                        json.skip()?;
                        got = Got::Known(ResponseFormat::JsonSchema);
                    }
                    _ => json.skip()?,
                }
                Ok(())
            })?;
        } else {
            got = read::text(json.value()?).and_then(|name| Got::Known(read::response_format(&name)));
        }
        take(&mut self.response_format, got, &mut self.unknown, Field::ResponseFormat);
        Ok(())
    }
}

/// A model without the list that Gemini's names say it is of.
fn without_list(model: Cow<'_, str>) -> Got<Cow<'_, str>> {
    match model.strip_prefix("models/") {
        Some(name) if !name.is_empty() => Got::Known(Cow::Owned(name.to_owned())),
        _ => Got::Known(model),
    }
}

/// The format of this type; an object is what a schema calls itself.
fn of_type(name: &str) -> ResponseFormat {
    match name {
        "object" | "array" => ResponseFormat::JsonSchema,
        other => read::response_format(other),
    }
}

/// Keeps the conversation that says something: of two, the later one, as parsers do.
fn keep<'b>(kept: &mut Talk<'b>, new: Talk<'b>) {
    if new.has_words() || (new.is_something && !kept.has_words()) {
        *kept = new;
    }
}

/// Fills what a request does not say itself.
struct Fill<'a> {
    unknown: &'a mut FieldSet,
    inner: FieldSet,
}

impl Fill<'_> {
    fn with<T: Clone>(&mut self, own: &mut Option<T>, inner: &Option<T>, field: Field) {
        if own.is_some() {
            return;
        }
        own.clone_from(inner);
        if own.is_some() {
            self.unknown.remove(field);
        } else if self.inner.contains(field) {
            self.unknown.insert(field);
        }
    }
}

/// Keeps what is known: of two values the later one, as parsers do, but nothing erases none.
fn take<T>(kept: &mut Option<T>, got: Got<T>, unknown: &mut FieldSet, field: Field) {
    match got {
        Got::Known(value) => {
            *kept = Some(value);
            unknown.remove(field);
        }
        Got::Bad if kept.is_none() => unknown.insert(field),
        Got::Bad | Got::Absent => {}
    }
}

/// Number of tools in a list; Gemini's lists hold lists of them.
fn tools_in(json: &mut Json<'_>) -> Result<i32, Fault> {
    let mut tools = 0i32;
    json.array(|json, _| {
        let mut inner = None;
        json.object(|json, key| {
            match &*key.bytes() {
                b"functionDeclarations" | b"function_declarations" => {
                    let mut count = 0;
                    json.array(|json, _| {
                        count += 1;
                        json.skip()
                    })?;
                    inner = Some(count);
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        tools = tools.saturating_add(inner.unwrap_or(1));
        Ok(())
    })?;
    Ok(tools)
}
