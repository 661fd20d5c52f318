//! Bodies of model APIs: the one place that knows what a request asks and what a response says.
//!
//! Bodies are what clients and models wrote, so everything here is lenient: what does not fit is not known.
//! Which API a body belongs to is never asked, because gateways translate one into another: a key means the
//! same in all of them, or its value tells them apart. Read are the bodies of OpenAI (chat, completions,
//! Responses, embeddings), Anthropic, Gemini and Vertex, Cohere, Bedrock (Converse and the models' own),
//! Ollama, and text-generation-inference; and what calls itself compatible with one of them.

mod answer;
mod ask;
mod close;
mod path;
mod talk;
mod unpack;
mod words;

pub(crate) use answer::Answer;
pub(crate) use ask::{Ask, Part};
pub(crate) use path::{Api, model_of, without_query};
pub(crate) use unpack::{Unpacked, unpack};

#[cfg(test)]
mod tests;
