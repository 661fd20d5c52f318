//! What the path of a request says: which API, and for some of them which model.

use memchr::memchr2;
use std::borrow::Cow;

/// Which key of a body the server reads, where a client sends several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Api {
    /// `messages` before anything else.
    #[default]
    Chat,
    /// `prompt`.
    Completions,
    /// `input`.
    Responses,
}

impl Api {
    /// By the path, possibly with a query or a host before it.
    pub(crate) fn of_path(path: &str) -> Self {
        let path = without_query(path).trim_end_matches('/');
        if path.ends_with("/chat/completions") {
            Self::Chat
        } else if path.ends_with("/completions")
            || path.ends_with("/complete")
            || path.ends_with("/api/generate")
        {
            Self::Completions
        } else if path.ends_with("/responses")
            || path.ends_with("/embeddings")
            || path.ends_with("/moderations")
        {
            Self::Responses
        } else {
            Self::Chat
        }
    }
}

/// The model that the path names, as in Azure's, Bedrock's and Gemini's, and whether it asks for the answer
/// in pieces.
pub(crate) fn model_of(path: &str) -> (Option<Cow<'_, str>>, Option<bool>) {
    let path = without_query(path);
    // Most paths have no segment that begins as those do which a model follows.
    let begins_so = |byte: Option<&u8>| matches!(byte, Some(b'd' | b'e' | b'm'));
    let bytes = path.as_bytes();
    if !begins_so(bytes.first()) && !bytes.windows(2).any(|two| two[0] == b'/' && begins_so(two.get(1))) {
        return (None, None);
    }
    let mut segments = path.split('/');
    let mut before = "";
    while let Some(segment) = segments.next() {
        let verb = || segments.clone().next().unwrap_or_default();
        match before {
            // Azure; OpenAI's first API.
            "deployments" | "engines" if !segment.is_empty() && !verb().is_empty() => {
                return (Some(percent_decoded(segment)), None);
            }
            // Bedrock: the id may have slashes of its own, when it is an ARN, but then they are escaped.
            "model" if matches!(verb(), "invoke" | "converse") => {
                return (Some(percent_decoded(segment)), Some(false));
            }
            "model" if matches!(verb(), "invoke-with-response-stream" | "converse-stream") => {
                return (Some(percent_decoded(segment)), Some(true));
            }
            // Gemini and Vertex.
            "models" | "endpoints" => {
                if let Some((model, verb)) = segment.split_once(':').filter(|(model, _)| !model.is_empty()) {
                    return (Some(percent_decoded(model)), Some(verb.starts_with("stream")));
                }
            }
            _ => {}
        }
        before = segment;
    }
    (None, None)
}

/// The path without its query: some clients put keys into it.
pub(crate) fn without_query(path: &str) -> &str {
    memchr2(b'?', b'#', path.as_bytes()).map_or(path, |end| &path[..end])
}

/// The text with `%3A` and the like resolved, as far as they are UTF-8.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *byte == b'%') {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_read_from_paths() {
        let of = |path: &str| {
            let (model, stream) = model_of(path);
            (model.map(Cow::into_owned), stream)
        };
        let known = |model: &str, stream| (Some(model.to_owned()), stream);
        assert_eq!(of("/openai/deployments/prod-4o/chat/completions?api-version=1"), known("prod-4o", None));
        assert_eq!(of("/v1/engines/atlas/completions"), known("atlas", None));
        assert_eq!(of("engines/atlas/completions#x"), known("atlas", None));
        assert_eq!(of("/v1/endpoints/atlas:predict"), known("atlas", Some(false)));
        assert_eq!(of("/model/vendor.atlas-1%3A0/invoke"), known("vendor.atlas-1:0", Some(false)));
        assert_eq!(of("/model/vendor.atlas/converse-stream"), known("vendor.atlas", Some(true)));
        assert_eq!(
            of("/v1beta/models/atlas-2.5-pro:generateContent?key=x"),
            known("atlas-2.5-pro", Some(false))
        );
        assert_eq!(
            of(
                "https://llm.example/v1/projects/p/locations/l/publishers/g/models/atlas:streamGenerateContent"
            ),
            known("atlas", Some(true))
        );
        for path in
            ["/v1/chat/completions", "/v1/models/atlas", "/v1/models", "/model/x/list", "/models/:x", "", "/"]
        {
            assert_eq!(of(path), (None, None), "{path}");
        }
        assert_eq!(percent_decoded("a%zz%4"), "a%zz%4");
    }

    #[test]
    fn apis_are_told_by_their_paths() {
        assert_eq!(Api::of_path("/v1/chat/completions"), Api::Chat);
        assert_eq!(Api::of_path("/v1/completions/?x"), Api::Completions);
        assert_eq!(Api::of_path("/v1/responses"), Api::Responses);
        assert_eq!(Api::of_path("/v1/messages"), Api::Chat);
    }
}
