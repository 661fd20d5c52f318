//! Where a value stands in a record.
//!
//! A name alone is a key of the record. With a `/` before it, it is a path of keys, as in JSON pointers (`~1`
//! is a `/` inside a key, `~0` a `~`). A segment may also be `*` for any key or index, `{name}` for a key in
//! any case of letters, as header names need it, and `before#after` for keys that differ by a number.
//!
//! A path goes through whatever holds keys: objects, lists of `{"key": …, "value": …}` as OpenTelemetry
//! writes them, and texts that are JSON themselves.

use thiserror::Error;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// This key, or this index of a list.
    Key(String),
    /// This key, in any case of ASCII letters.
    AnyCase(String),
    /// Any key or index.
    Any,
    /// A key with a number between these.
    Numbered(String, String),
}

/// A path that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path:?} is no place in a record: {reason}")]
pub struct PointerError {
    path: String,
    reason: &'static str,
}

/// Longest path, in steps.
pub(crate) const STEPS_MAX: usize = 12;

/// The steps of a path.
pub(crate) fn steps_of(path: &str) -> Result<Vec<Step>, PointerError> {
    let fault = |reason| PointerError { path: path.to_owned(), reason };
    let Some(rest) = path.strip_prefix('/') else {
        return match path {
            "" => Err(fault("it is empty")),
            key => Ok(vec![Step::Key(key.to_owned())]),
        };
    };
    let steps: Vec<Step> = rest.split('/').map(step_of).collect();
    if steps.len() > STEPS_MAX {
        return Err(fault("it has more than 12 steps"));
    }
    if steps.iter().any(|step| matches!(step, Step::Key(key) if key.is_empty())) {
        return Err(fault("a step is empty"));
    }
    if steps.iter().rev().skip(1).any(|step| matches!(step, Step::Numbered(..))) {
        return Err(fault("a number may stand in its last step alone"));
    }
    Ok(steps)
}

fn step_of(segment: &str) -> Step {
    let key = segment.replace("~1", "/").replace("~0", "~");
    if key == "*" {
        return Step::Any;
    }
    if let Some(name) = key.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return Step::AnyCase(name.to_ascii_lowercase());
    }
    match key.split_once('#') {
        Some((before, after)) => Step::Numbered(before.to_owned(), after.to_owned()),
        None => Step::Key(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let key = |name: &str| Step::Key(name.into());
        assert_eq!(steps_of("user-agent").unwrap(), [key("user-agent")]);
        assert_eq!(steps_of("a.b").unwrap(), [key("a.b")]);
        assert_eq!(
            steps_of("/request/headers/{User-Agent}").unwrap(),
            [key("request"), key("headers"), Step::AnyCase("user-agent".into())]
        );
        assert_eq!(steps_of("/a~1b/*/0").unwrap(), [key("a/b"), Step::Any, key("0")]);
        assert_eq!(
            steps_of("/attributes/gen_ai.prompt.#.content").unwrap(),
            [key("attributes"), Step::Numbered("gen_ai.prompt.".into(), ".content".into())]
        );
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", "/", "/a//b", "/a#/b", "/a/b/c/d/e/f/g/h/i/j/k/l/m"] {
            assert!(steps_of(path).is_err(), "{path}");
        }
    }
}
