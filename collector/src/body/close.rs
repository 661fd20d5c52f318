//! A body that a log writer cut off, closed again.

/// Deepest nesting that is closed.
const DEPTH_MAX: usize = 256;

/// Ends what is open in `body`, which was cut somewhere: its string, then its brackets. What was read up to
/// the cut is then read like any other.
pub(super) fn close(body: &mut Vec<u8>) {
    let (mut open, mut in_string, mut is_escaped, mut is_key, mut wants_value) =
        (Vec::new(), false, false, false, false);
    for byte in body.iter() {
        if in_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                // In an object a string is a key, unless a colon stands before it.
                is_key = open.last() == Some(&b'}') && !wants_value;
            }
            b'{' => open.push(b'}'),
            b'[' => open.push(b']'),
            b'}' | b']' => drop(open.pop()),
            b':' => {
                wants_value = true;
                is_key = false;
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            _ => {}
        }
        if open.len() > DEPTH_MAX {
            return;
        }
        wants_value = false;
    }
    if in_string {
        if is_escaped {
            body.pop();
        }
        body.push(b'"');
    }
    if is_key {
        body.push(b':');
    }
    while let Some(bracket) = open.pop() {
        body.push(bracket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_was_cut_anywhere_is_closed() {
        let whole = r#"{"model":"m","n":12,"messages":[{"role":"user","content":"a \"b\" \u00e9 c"},{"x":null}],"t":true}"#;
        for at in 1..whole.len() {
            let mut body = whole.as_bytes()[..at].to_vec();
            close(&mut body);
            let closed = crate::json::Json::new(&body)
                .object(|json, _| json.array(|json, _| json.object(|json, _| json.skip())));
            assert_eq!(closed, Ok(()), "{}", String::from_utf8_lossy(&body));
        }
    }
}
