//! What a response says of how the model answered. The answer's text is not looked at.

use super::talk::is_call;
use crate::json::{Fault, Json, Text, Value};
use crate::read::{self, Got};
use std::borrow::Cow;
use weir_schemas::FinishReason;

/// Deepest nesting of objects whose keys are looked at.
const DEPTH_MAX: usize = 6;

/// How the model answered.
#[derive(Default)]
pub(crate) struct Answer<'b> {
    /// Model that answered.
    pub(crate) model: Option<Cow<'b, str>>,
    /// Tokens of the request.
    pub(crate) prompt_tokens: Option<i64>,
    /// Tokens of the answer.
    pub(crate) completion_tokens: Option<i64>,
    /// Why the model stopped.
    pub(crate) finish_reason: Option<FinishReason>,
    /// The model declined to answer.
    pub(crate) refused: bool,
    /// Calls of tools in the answer.
    pub(crate) tool_calls: Option<i32>,
}

impl<'b> Answer<'b> {
    /// Reads a response: an object, a list of them, or the events of a stream. What was read before a fault
    /// is kept; false where there was one, or where it is none of these.
    pub(crate) fn read(&mut self, bytes: &'b [u8]) -> bool {
        let mut json = Json::new(bytes);
        let read = match json.peek() {
            Some(b'{' | b'[') => self.whole(&mut json),
            Some(b'd' | b'e' | b':' | b'i') => return self.stream(bytes),
            _ => return false,
        };
        self.refused |= self.finish_reason == Some(FinishReason::Refusal);
        read.is_ok()
    }

    /// Server-sent events, each of which holds an object.
    fn stream(&mut self, bytes: &'b [u8]) -> bool {
        let mut is_stream = false;
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            is_stream = true;
            // An event that cannot be read hides no other.
            let _ = self.whole(&mut Json::new(data.trim_ascii()));
        }
        self.refused |= self.finish_reason == Some(FinishReason::Refusal);
        is_stream
    }

    fn whole(&mut self, json: &mut Json<'b>) -> Result<(), Fault> {
        match json.peek() {
            Some(b'[') => json.array(|json, _| json.object(|json, key| self.entry(json, key, 0))),
            Some(b'{') => json.object(|json, key| self.entry(json, key, 0)),
            // The end of a stream of OpenAI's: `[DONE]` begins like a list, anything else is a word.
            _ => json.skip(),
        }
    }

    fn entry(&mut self, json: &mut Json<'b>, key: Text<'b>, depth: usize) -> Result<(), Fault> {
        if depth >= DEPTH_MAX {
            return json.skip();
        }
        match &*key.bytes() {
            b"model" | b"modelVersion" | b"model_name" => {
                if let Got::Known(model) = read::text(json.value()?) {
                    self.model = Some(model);
                }
            }
            b"prompt_tokens"
            | b"input_tokens"
            | b"inputTokens"
            | b"promptTokenCount"
            | b"inputTextTokenCount"
            | b"prompt_token_count"
            | b"prompt_eval_count" => count(&mut self.prompt_tokens, json)?,
            b"completion_tokens"
            | b"output_tokens"
            | b"outputTokens"
            | b"candidatesTokenCount"
            | b"tokenCount"
            | b"generation_token_count"
            | b"generated_tokens"
            | b"eval_count" => {
                count(&mut self.completion_tokens, json)?;
            }
            b"finish_reason" | b"finishReason" | b"stop_reason" | b"stopReason" | b"completionReason"
            | b"done_reason" | b"reason" => {
                if let Got::Known(name) = read::text(json.value()?) {
                    self.stopped(&name);
                }
            }
            b"blockReason" | b"block_reason" => {
                if let Got::Known(_) = read::text(json.value()?) {
                    self.refused = true;
                    self.finish_reason = Some(FinishReason::Refusal);
                }
            }
            b"refusal" => self.refused |= matches!(json.value()?, Value::Text(text) if !text.is_blank()),
            b"type" => {
                if let Value::Text(kind) = json.value()? {
                    let kind = kind.bytes();
                    self.refused |= &*kind == b"refusal";
                    // A part of an answer or an item of an output; one of a stream's deltas is not one more.
                    if is_call(&kind) {
                        self.called(1);
                    }
                }
            }
            b"tool_calls" => {
                let mut calls = 0;
                json.array(|json, index| {
                    calls = index + 1;
                    json.skip()
                })?;
                self.called(calls);
            }
            b"functionCall" | b"toolUse" | b"function_call" => {
                let is_call = matches!(json.value()?, Value::Object(_));
                self.called(usize::from(is_call));
            }
            b"usage"
            | b"usageMetadata"
            | b"usage_metadata"
            | b"meta"
            | b"tokens"
            | b"billed_units"
            | b"message"
            | b"delta"
            | b"content"
            | b"output"
            | b"response"
            | b"choices"
            | b"candidates"
            | b"parts"
            | b"results"
            | b"details"
            | b"incomplete_details"
            | b"promptFeedback"
            | b"content_block"
            | b"generations" => {
                self.inside(json, depth)?;
            }
            _ => json.skip()?,
        }
        Ok(())
    }

    /// An object or a list of objects among whose keys more is told.
    fn inside(&mut self, json: &mut Json<'b>, depth: usize) -> Result<(), Fault> {
        match json.peek() {
            Some(b'[') => json.array(|json, _| json.object(|json, key| self.entry(json, key, depth + 1))),
            _ => json.object(|json, key| self.entry(json, key, depth + 1)),
        }
    }

    fn stopped(&mut self, name: &str) {
        let reason = read::finish_reason(name);
        // A stream says that it has not stopped before it says why it has; any reason beats none that is
        // known.
        if reason != FinishReason::Other || self.finish_reason.is_none() {
            self.finish_reason = Some(reason);
        }
    }

    fn called(&mut self, calls: usize) {
        if calls > 0 {
            let calls = i32::try_from(calls).unwrap_or(i32::MAX);
            self.tool_calls = Some(self.tool_calls.unwrap_or(0).saturating_add(calls));
        }
    }
}

fn count(kept: &mut Option<i64>, json: &mut Json<'_>) -> Result<(), Fault> {
    if let Got::Known(number) = read::count(json.value()?) {
        *kept = Some(number);
    }
    Ok(())
}
