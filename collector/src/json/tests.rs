use super::*;
use proptest::prelude::*;

/// The whole value as other parsers know it; a text after the fault where there is one.
fn shown(bytes: &[u8]) -> String {
    let mut json = Json::new(bytes);
    match show(&mut json, 0) {
        Ok(text) => format!("{text}{}", if json.peek().is_some() { " and more" } else { "" }),
        Err(fault) => format!("fault at {}", fault.at),
    }
}

fn show(json: &mut Json<'_>, depth: usize) -> Result<String, Fault> {
    let mut parts = Vec::new();
    match json.peek() {
        Some(b'{') if depth < 20 => {
            json.object(|json, key| {
                let value = show(json, depth + 1)?;
                parts.push(format!("{:?}:{value}", key.decode()));
                Ok(())
            })?;
            Ok(format!("{{{}}}", parts.join(",")))
        }
        Some(b'[') if depth < 20 => {
            json.array(|json, _| {
                parts.push(show(json, depth + 1)?);
                Ok(())
            })?;
            Ok(format!("[{}]", parts.join(",")))
        }
        _ => Ok(match json.value()? {
            Value::Null => "null".into(),
            Value::Bool(value) => value.to_string(),
            Value::Number(Number::Integer(number)) => number.to_string(),
            Value::Number(Number::Float(number)) => format!("{number:?}"),
            Value::Text(text) => format!("{:?}", text.decode()),
            Value::Object(_) | Value::Array(_) => "deep".into(),
            Value::Bare => "bare".into(),
        }),
    }
}

fn check(text: &str, expected: &str) {
    assert_eq!(shown(text.as_bytes()), expected, "{text}");
}

#[test]
fn json_is_read() {
    check(
        r#" {"a" : [1, -2.5, true, false, null, "x", {}], "b":{"c":[]}} "#,
        r#"{"a":[1,-2.5,true,false,null,"x",{}],"b":{"c":[]}}"#,
    );
    check(r#""\"\\\/\b\f\n\r\tä\ud83d\ude00""#, r#""\"\\/\u{8}\u{c}\n\r\tä😀""#);
}

#[test]
fn what_servers_and_log_writers_make_of_json_is_read_too() {
    check("\u{feff}{\"a\":1}", r#"{"a":1}"#);
    check(r#"{"a":NaN,"b":-Infinity,"c":Infinity}"#, r#"{"a":NaN,"b":-inf,"c":inf}"#);
    check(r#"{"a":1,}"#, r#"{"a":1}"#);
    check(r#"[1,2,,]"#, "[1,2]");
    check(r#"{"a":,"b":}"#, r#"{"a":null,"b":null}"#);
    check(r#"{"a":-,"b":None,"c":000}"#, r#"{"a":null,"b":bare,"c":0}"#);
    check("{\"a\":\"tab\there\"}", r#"{"a":"tab\there"}"#);
    check(r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#);
}

#[test]
fn escapes_that_are_no_character_are_the_replacement_character() {
    check(r#""cut \ud83d""#, r#""cut �""#);
    check(r#""\ude00 \ud83dx \ud83dA""#, r#""� �x �A""#);
    check(r#""\ud83d\ud83d\ude00""#, r#""�😀""#);
    check(r#""\u12 \uzzzz \q \x41 \xg""#, r#""�12 �zzzz q A xg""#);
    assert_eq!(shown(b"\"a\xff\xc3\""), "\"a�\u{fffd}\"");
}

#[test]
fn what_is_torn_is_told_by_its_place() {
    check(r#"{"a":"b"#, "fault at 7");
    check(r#"{"a":1"#, "fault at 6");
    check(r#"{"a""#, "fault at 4");
    check(r#"{"a":[1,{"b":2}"#, "fault at 15");
    check(r#"{"a":"b{"a":1}"#, "fault at 9");
    check(r#"{"a":12{"b":1}"#, "fault at 7");
    check(r#"{a:1}"#, "fault at 1");
    check(r#"{"a":1]"#, "fault at 6");
    check(r#"[1}"#, "fault at 2");
    check(r#"{"a\"#, "fault at 4");
    check("", "fault at 0");
    check(r#"{"a":1}{"a":2}"#, r#"{"a":1} and more"#);
}

#[test]
fn depth_costs_no_stack() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    assert!(shown(deep.as_bytes()).ends_with("]]]"));
    assert_eq!(shown("[{\"a\":".repeat(100_000).as_bytes()), "fault at 600000");
}

#[test]
fn a_quote_is_found_wherever_it_stands() {
    for length in 0..80 {
        let text = format!("\"{}\" rest", "ab".repeat(length));
        check(&text, &format!("\"{}\" and more", "ab".repeat(length)));
        let text = format!("\"{}\\\"{}\"", "a".repeat(length), "b".repeat(length));
        check(&text, &format!("\"{}\\\"{}\"", "a".repeat(length), "b".repeat(length)));
    }
}

proptest! {
    #[test]
    fn what_is_json_is_read_as_another_parser_reads_it(value in json()) {
        let text = value.to_string();
        let other: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(shown(text.as_bytes()), as_shown(&other));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        shown(&bytes);
    }

    #[test]
    fn arbitrary_json_like_text_never_panics(text in r#"[\[\]{}",:\\u0-9a-fd .truefalsn-]{0,120}"#) {
        shown(text.as_bytes());
        for at in 0..text.len() {
            shown(&text.as_bytes()[at..]);
        }
    }
}

fn as_shown(value: &serde_json::Value) -> String {
    use serde_json::Value as Other;
    match value {
        Other::Null => "null".into(),
        Other::Bool(value) => value.to_string(),
        Other::Number(number) => match number.as_i64() {
            Some(number) => number.to_string(),
            None => format!("{:?}", number.as_f64().unwrap()),
        },
        Other::String(text) => format!("{text:?}"),
        Other::Array(items) => {
            format!("[{}]", items.iter().map(as_shown).collect::<Vec<_>>().join(","))
        }
        Other::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key:?}:{}", as_shown(value))).collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

/// JSON values whose objects keep one entry, so that no order is asked.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        // The other parser does not read every digit of a long fraction.
        any::<i32>().prop_map(|number| (f64::from(number) / 4.0).into()),
        "\\PC{0,12}".prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            ("\\PC{0,8}", inner).prop_map(|(key, value)| serde_json::json!({ key: value })),
        ]
    })
}
