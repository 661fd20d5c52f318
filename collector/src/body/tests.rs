use super::*;
use crate::json::Json;
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// What a body asks. Only tests print it.
fn shown(body: &[u8], api: Api) -> String {
    let mut buffer = Vec::new();
    let mut ask = Ask::default();
    let unpacked = unpack(body, &mut buffer);
    let is_read = match unpacked {
        Unpacked::Plain => ask.read(body, Part::Body),
        Unpacked::Replaced | Unpacked::Closed => ask.read(&buffer, Part::Body),
        other => return format!("{other:?}"),
    };
    let mut all = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            all.push(format!("{name}={value}"));
        }
    };
    add("model", ask.model.as_deref().map(str::to_owned));
    add("system", ask.system(api).map(Into::into));
    add("prompt", ask.prompt(api).map(Into::into));
    add("before", ask.prompt_before(api).map(Into::into));
    add("turns", ask.turns(api).map(|n| n.to_string()));
    add("called", ask.tools_called(api).filter(|n| *n > 0).map(|n| n.to_string()));
    add("max_tokens", ask.max_tokens.map(|n| n.to_string()));
    add("offered", ask.tools_offered.map(|n| n.to_string()));
    add("temperature", ask.temperature_permille.map(|n| n.to_string()));
    add("n", ask.candidates.map(|n| n.to_string()));
    add("logprobs", ask.logprobs.map(|flag| flag.to_string()));
    add("format", ask.response_format.map(|format| format.to_string()));
    add("stream", ask.stream.map(|flag| flag.to_string()));
    add("hidden", ask.has_hidden_words().then(|| "yes".into()));
    let unknown: Vec<&str> = ask.unknown.iter().map(|field| field.as_str()).collect();
    add("unknown", (!unknown.is_empty()).then(|| unknown.join(" ")));
    add("asks", (!ask.asks()).then(|| "no".into()));
    add("torn", (!is_read).then(|| "yes".into()));
    all.join(" | ")
}

fn check(body: &str, expected: Expect) {
    expected.assert_eq(&shown(body.as_bytes(), Api::Chat));
}

#[test]
fn openai_chats_are_read() {
    check(
        r#"{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"content":"three","role":"user"}],"max_tokens":9,"temperature":0.7,"n":3,"logprobs":true,"stream":false,"tools":[{"type":"function"},{}],"response_format":{"type":"json_schema","json_schema":{}}}"#,
        expect![
            "model=m | system=be kind | prompt=three | before=one | turns=2 | max_tokens=9 | offered=2 | temperature=700 | n=3 | logprobs=true | format=JSON_SCHEMA | stream=false"
        ],
    );
    check(
        r#"{"messages":[{"role":"developer","content":[{"type":"text","text":"s"}]},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"b"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"1"},{"id":"2"}]},{"role":"tool","tool_call_id":"1","content":"42 degrees"}],"max_completion_tokens":5}"#,
        expect![[r#"
            system=s | prompt=a
            b | turns=1 | called=2 | max_tokens=5"#]],
    );
}

#[test]
fn openai_completions_and_embeddings_are_read() {
    check(
        r#"{"model":"m","prompt":"once upon","max_tokens":1,"logprobs":5}"#,
        expect!["model=m | prompt=once upon | turns=1 | max_tokens=1 | logprobs=true"],
    );
    check(
        r#"{"prompt":["one","two"]}"#,
        expect![[r#"
        prompt=one
        two | turns=1"#]],
    );
    check(r#"{"model":"m","prompt":[1,2,3]}"#, expect!["model=m | hidden=yes"]);
    check(
        r#"{"model":"m","input":["one text","another"]}"#,
        expect![[r#"
        model=m | prompt=one text
        another | turns=1"#]],
    );
    check(
        r#"{"model":"m","query":"which?","documents":["a","b"]}"#,
        expect!["model=m | prompt=which? | turns=1"],
    );
}

#[test]
fn openai_responses_are_read() {
    check(
        r#"{"model":"m","instructions":"i","input":"q","max_output_tokens":7,"text":{"format":{"type":"json_object"}}}"#,
        expect!["model=m | system=i | prompt=q | turns=1 | max_tokens=7 | format=JSON"],
    );
    check(
        r#"{"instructions":"i","input":[{"role":"user","content":[{"type":"input_text","text":"q"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},{"type":"function_call","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"tool words"}]}"#,
        expect!["system=i | prompt=q | turns=1 | called=1"],
    );
    check(r#"{"input":"q","prompt":{"id":"pmpt_1","version":"2"}}"#, expect!["prompt=q | turns=1"]);
    check(
        r#"{"prompt":{"id":"pmpt_1","variables":{"a":"what is asked","b":{"type":"input_text","text":"and more"}}}}"#,
        expect![[r#"
        prompt=what is asked
        and more | turns=1"#]],
    );
}

#[test]
fn anthropic_messages_are_read() {
    check(
        r#"{"model":"m","system":[{"type":"text","text":"s","cache_control":{}}],"max_tokens":100,"messages":[{"role":"user","content":"find it"},{"role":"assistant","content":[{"type":"text","text":"let me"},{"type":"tool_use","id":"1","name":"f","input":{"content":"x"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"the tool's words"}]}]}],"tools":[{"name":"f"}]}"#,
        expect!["model=m | system=s | prompt=find it | turns=1 | called=1 | max_tokens=100 | offered=1"],
    );
    check(
        r#"{"prompt":"\n\nHuman: hi\n\nAssistant:","max_tokens_to_sample":3}"#,
        expect![[r#"
        prompt=

        Human: hi

        Assistant: | turns=1 | max_tokens=3"#]],
    );
}

#[test]
fn gemini_contents_are_read() {
    check(
        r#"{"contents":[{"role":"user","parts":[{"text":"one"},{"inlineData":{"mimeType":"image/png","data":"x"}}]},{"role":"model","parts":[{"functionCall":{"name":"f"}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"text":"tool"}}}]}],"systemInstruction":{"parts":[{"text":"s"}]},"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]}],"generationConfig":{"maxOutputTokens":8,"temperature":1,"candidateCount":2,"responseMimeType":"application/json","responseSchema":{"type":"OBJECT"}}}"#,
        expect![
            "system=s | prompt=one | turns=1 | called=1 | max_tokens=8 | offered=2 | temperature=1000 | n=2 | format=JSON_SCHEMA"
        ],
    );
    check(
        r#"{"contents":{"parts":[{"text":"no role"}]},"system_instruction":{"parts":{"text":"s"}}}"#,
        expect!["system=s | prompt=no role | turns=1"],
    );
    check(
        r#"{"model":"m","request":{"contents":[{"role":"user","parts":[{"text":"x"}]}]}}"#,
        expect!["model=m | prompt=x | turns=1"],
    );
}

#[test]
fn cohere_bedrock_ollama_and_tgi_are_read() {
    check(
        r#"{"model":"m","preamble":"s","message":"now","chat_history":[{"role":"USER","message":"before"}],"max_tokens":9}"#,
        expect!["model=m | system=s | prompt=now | before=before | turns=2 | max_tokens=9"],
    );
    check(
        r#"{"system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"q"},{"toolResult":{"content":[{"text":"t"}]}}]}],"inferenceConfig":{"maxTokens":30,"temperature":0},"toolConfig":{"tools":[{"toolSpec":{}}]}}"#,
        expect!["system=s | prompt=q | turns=1 | max_tokens=30 | offered=1 | temperature=0"],
    );
    check(
        r#"{"inputText":"q","textGenerationConfig":{"maxTokenCount":5}}"#,
        expect!["prompt=q | turns=1 | max_tokens=5"],
    );
    check(
        r#"{"model":"m","prompt":"q","system":"s","options":{"num_predict":5},"format":"json","stream":true}"#,
        expect!["model=m | system=s | prompt=q | turns=1 | max_tokens=5 | format=JSON | stream=true"],
    );
    check(
        r#"{"inputs":"q","parameters":{"max_new_tokens":20,"temperature":"0.5"}}"#,
        expect!["prompt=q | turns=1 | max_tokens=20 | temperature=500"],
    );
    check(
        r#"{"instances":[{"messages":[{"author":"user","content":"q"}],"context":"s"}],"parameters":{"maxOutputTokens":4}}"#,
        expect!["system=s | prompt=q | turns=1 | max_tokens=4"],
    );
}

#[test]
fn an_empty_key_erases_none_that_says_something() {
    let chat = r#""messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}]"#;
    let expected = shown(format!("{{{chat}}}").as_bytes(), Api::Chat);
    for other in [
        r#""input":"""#,
        r#""input":[]"#,
        r#""prompt":"""#,
        r#""prompt":{"id":"x"}"#,
        r#""prompt":null"#,
        r#""instructions":"""#,
        r#""system":[]"#,
        r#""messages":[]"#,
        r#""messages":null"#,
        r#""messages":"""#,
        r#""contents":[]"#,
    ] {
        assert_eq!(shown(format!("{{{chat},{other}}}").as_bytes(), Api::Chat), expected, "{other}");
        assert_eq!(shown(format!("{{{other},{chat}}}").as_bytes(), Api::Chat), expected, "{other}");
    }
}

#[test]
fn of_two_conversations_the_one_counts_that_the_server_reads() {
    let both = br#"{"prompt":"for completions","input":"for responses","messages":[{"role":"user","content":"for chats"}]}"#;
    let prompt = |api| shown(both, api).replace("prompt=", "").replace(" | turns=1", "");
    assert_eq!(prompt(Api::Chat), "for chats");
    assert_eq!(prompt(Api::Completions), "for completions");
    assert_eq!(prompt(Api::Responses), "for responses");
}

/// What a client puts beside its words, so that something else is taken for them: servers that pass over keys
/// which they do not know read `Explain` in all of these.
#[test]
fn a_decoy_beside_the_words_hides_none() {
    let told = |body: &str| shown(body.as_bytes(), Api::Chat);
    let message = |inside: &str| format!(r#"{{"messages":[{{{inside}}}]}}"#);
    for inside in [
        r#""role":"user","content":"decoy","content":"Explain""#,
        r#""role":"user","parts":"decoy","content":"Explain""#,
        r#""role":"user","message":"decoy","content":"Explain""#,
        r#""role":"user","text":"decoy","content":"Explain""#,
        r#""role":"user","Content":"decoy","content":"Explain""#,
        r#""role":"user","content":"Explain","Content":"decoy""#,
        r#""role":"user","author":"assistant","content":"Explain""#,
        r#""role":"user","content":"Explain","Role":"assistant""#,
        r#""Role":"assistant","role":"user","content":"Explain""#,
        r#""role":"user","content":[{"type":"image_url","type":"text","text":"Explain"}]"#,
        r#""role":"user","content":[{"type":"text","role":"assistant","text":"Explain"}]"#,
    ] {
        assert_eq!(told(&message(inside)), "prompt=Explain | turns=1", "{inside}");
    }
    let chat = r#""model":"m","max_tokens":7,"messages":[{"role":"system","content":"s"},{"role":"user","content":"Explain"}]"#;
    let expected = told(&format!("{{{chat}}}"));
    assert_eq!(expected, "model=m | system=s | prompt=Explain | turns=1 | max_tokens=7");
    let decoy = r#"[{"role":"system","content":"decoy"},{"role":"user","content":"decoy"},{"role":"user","content":"decoy"}]"#;
    for beside in [
        format!(r#""contents":{decoy}"#),
        format!(r#""options":{{"messages":{decoy},"model":"decoy","system":"decoy","max_tokens":1}}"#),
        format!(r#""text":{{"messages":{decoy}}}"#),
        format!(r#""request":{{"messages":{decoy},"model":"decoy"}}"#),
        format!(r#""requests":[{{"messages":{decoy}}}]"#),
        r#""config":{"options":{"prompt":"decoy","num_predict":1}}"#.to_owned(),
        r#""instructions":"decoy""#.to_owned(),
        r#""preamble":"decoy""#.to_owned(),
        r#""prompt":"decoy""#.to_owned(),
        r#""input":"decoy""#.to_owned(),
        r#""query":"decoy""#.to_owned(),
    ] {
        assert_eq!(told(&format!("{{{chat},{beside}}}")), expected, "{beside}");
        assert_eq!(told(&format!("{{{beside},{chat}}}")), expected, "{beside}");
    }
}

#[test]
fn a_last_message_that_asks_nothing_hides_none() {
    let said = |last: &str| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"Explain how it thinks."}},{{"role":"user","content":"and"}},{last}]}}"#
        )
    };
    let user = |content: &str| said(&format!(r#"{{"role":"user","content":{content}}}"#));
    let told = |last: &str| format!("prompt={last} | before=Explain how it thinks.\nand | turns=3");
    for (content, last) in [
        (r#"".""#, "."),
        (r#""go on""#, "go on"),
        (r#""\u4f60\u597d""#, "你好"),
        (r#""\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n…""#, "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n…"),
        (r#"[{"type":"text","text":"Continue."}]"#, "Continue."),
    ] {
        assert_eq!(shown(user(content).as_bytes(), Api::Chat), told(last));
    }
    // A forged answer in between does not either.
    for hidden in [
        r#"[{"role":"assistant","content":"Explain how it thinks."},{"role":"user","content":"."}]"#,
        r#"[{"role":"foo","content":"Explain how it thinks."},{"role":"user","content":"."}]"#,
        r#"[{"content":"Explain how it thinks."},{"role":"user","content":"."}]"#,
    ] {
        check(
            &format!(r#"{{"messages":{hidden}}}"#),
            expect!["prompt=. | before=Explain how it thinks. | turns=1"],
        );
    }
    check(
        r#"{"message":"go on","chat_history":[{"role":"USER","message":"Explain how it thinks."}]}"#,
        expect!["prompt=go on | before=Explain how it thinks. | turns=2"],
    );
    let pieces =
        ["Explain", "how it", "thinks", "."].map(|piece| format!(r#"{{"role":"user","content":"{piece}"}}"#));
    check(
        &format!(r#"{{"messages":[{}]}}"#, pieces.join(",")),
        expect![[r#"
            prompt=. | before=Explain
            how it
            thinks | turns=4"#]],
    );
    let many = vec![r#"{"role":"user","content":"piece"}"#; 100].join(",");
    let shown_of_many = shown(format!(r#"{{"messages":[{many}]}}"#).as_bytes(), Api::Chat);
    assert!(shown_of_many.starts_with("prompt=piece | before=piece\npiece\n"), "{shown_of_many}");
    check(
        r#"{"messages":[{"role":"user","content":"\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b…………………………………"}]}"#,
        expect![
            "prompt=\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}………………………………… | turns=1"
        ],
    );
    let answered = r#"{"role":"assistant","content":"Gladly."},{"role":"user","content":"go on"}"#;
    assert_eq!(shown(said(answered).as_bytes(), Api::Chat), told("go on"));
    check(&user(r#""Now translate that.""#), expect!["prompt=Now translate that. | turns=3"]);
    check(r#"{"messages":[{"role":"user","content":"Why?"}]}"#, expect!["prompt=Why? | turns=1"]);
}

#[test]
fn words_in_a_shape_in_which_nobody_writes_them_are_counted() {
    let user = |content: &str| format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
    for content in [
        "42",
        "true",
        "[1, 2]",
        r#"[{"type":"text","text":42}]"#,
        r#"[{"type":"refusal","refusal":"Explain how it thinks."}]"#,
        r#"[{"type":"thinking","thinking":"Explain how it thinks."}]"#,
    ] {
        check(&user(content), expect!["hidden=yes"]);
    }
    check(
        &user(r#"[{"type":"thinking","thinking":"Explain how it thinks."},{"type":"text","text":"."}]"#),
        expect!["prompt=. | turns=1 | hidden=yes"],
    );
    check(
        r#"{"messages":[{"role":"user","content":12345},{"role":"user","content":"."}]}"#,
        expect!["prompt=. | turns=1 | hidden=yes"],
    );
    check(
        r#"{"messages":[{"role":"user","content":[{"type":"image"}]},{"role":"assistant","content":"a cat"}]}"#,
        expect![""],
    );
    for content in [
        "null",
        r#""""#,
        "[]",
        r#"[{"type":"image_url","image_url":{"url":"x"}}]"#,
        r#"[{"type":"tool_result","content":42}]"#,
        r#"[{"inlineData":{"data":"x"}}]"#,
    ] {
        check(&user(content), expect![""]);
    }
}

#[test]
fn several_requests_in_one_body_are_read() {
    check(
        r#"{"requests":[{"custom_id":"a","params":{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"one"}]}},{"custom_id":"b","params":{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"two"}]}}]}"#,
        expect!["model=m | prompt=two | turns=1 | max_tokens=9"],
    );
}

#[test]
fn what_stands_inside_is_read_where_nothing_stands_outside() {
    check(
        r#"{"system":"s","request":{"model":"m","messages":[{"role":"user","content":"q"}],"options":{"num_predict":4}},"config":{"temperature":1}}"#,
        expect!["model=m | system=s | prompt=q | turns=1 | max_tokens=4 | temperature=1000"],
    );
    check(
        r#"{"options":{"num_predict":-1},"prompt":"q"}"#,
        expect!["prompt=q | turns=1 | unknown=max_tokens"],
    );
    check(
        r#"{"max_tokens":3,"options":{"num_predict":-1},"prompt":"q"}"#,
        expect!["prompt=q | turns=1 | max_tokens=3"],
    );
}

#[test]
fn what_servers_accept_is_read() {
    check(
        "\u{feff} {\"messages\":[{\"role\":\"user\",\"content\":\"q\",},],\"temperature\":NaN,\"max_tokens\":Infinity,}",
        expect!["prompt=q | turns=1 | unknown=max_tokens temperature"],
    );
    check(
        r#"{"messages":[{"role":"user","content":"cut \ud83d"}],"model":"a","model":"b","model":null}"#,
        expect!["model=b | prompt=cut � | turns=1"],
    );
}

#[test]
fn what_clients_get_wrong_is_not_known() {
    check(
        r#"{"model":7,"messages":42,"max_tokens":-1,"temperature":"hot","n":-2,"stream":"x"}"#,
        expect!["hidden=yes | unknown=model max_tokens temperature n stream"],
    );
    check(r#"{"messages":[null,1,"x",{"role":3,"content":{}}]}"#, expect!["prompt=x | turns=1 | hidden=yes"]);
    check(r#"{"messages":[{"role":"assistant","content":"only the model"}]}"#, expect!["hidden=yes"]);
    check(r#"{"a":1}"#, expect!["asks=no"]);
    check("plain words", expect!["Text"]);
    check("", expect!["Nothing"]);
    check("--boundary\r\nContent-Disposition: form-data", expect!["Unreadable"]);
    check(&format!("{{\"messages\":{}", "[{\"content\":".repeat(10_000)), expect!["torn=yes"]);
}

#[test]
fn keys_in_another_case_are_read_as_servers_in_go_read_them() {
    check(
        "{\"Model\":\"m\",\"me\u{17f}\u{17f}ages\":[{\"Role\":\"system\",\"Content\":\"s\"},{\"ROLE\":\"user\",\"content\":[{\"Type\":\"text\",\"Text\":\"x\"}]}]}",
        expect!["model=m | system=s | prompt=x | turns=1"],
    );
    // One that stands as it should counts, wherever the other stands.
    check(
        r#"{"messages":[{"role":"user","content":"x"}],"MESSAGES":[{"role":"user","content":"y"}]}"#,
        expect!["prompt=x | turns=1"],
    );
    check(r#"{"Prompt":"y","prompt":"x","MODEL":"n","model":"m"}"#, expect!["model=m | prompt=x | turns=1"]);
}

#[test]
fn parts_have_roles_too() {
    check(
        r#"{"messages":[{"role":"user","content":[{"role":"tool","text":"not mine"},{"text":"mine"},{"type":"output_text","text":"nor this"},{"type":"txt","text":"but this"}]}]}"#,
        expect![[r#"
            prompt=mine
            but this | turns=1"#]],
    );
}

#[test]
fn a_body_that_was_cut_is_read_as_far_as_it_goes() {
    let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"system","content":"s"},{"role":"user","content":"a long question that"#;
    check(body, expect!["model=m | system=s | prompt=a long question that | turns=1 | max_tokens=5"]);
}

#[test]
fn bodies_are_unpacked() {
    use base64::Engine as _;
    use std::io::Write as _;
    let body = br#"{"messages":[{"role":"user","content":"q"}]}"#;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(body).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(&body[..], 3).unwrap();
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes();
    let latin: Vec<u8> = zstd.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    zlib.write_all(body).unwrap();
    let zlib = zlib.finish().unwrap();
    let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    bare.write_all(body).unwrap();
    let bare = bare.finish().unwrap();
    let blanks = |blanks: &str| base64(&[blanks.as_bytes(), body].concat());
    for packed in [
        gzip.clone(),
        zstd.clone(),
        zlib.clone(),
        bare,
        base64(body),
        base64(&gzip),
        base64(&zstd),
        base64(&zlib),
        blanks("\n"),
        blanks(" \t"),
        blanks("\r\n  "),
        latin,
    ] {
        assert_eq!(shown(&packed, Api::Chat), "prompt=q | turns=1", "{packed:?}");
    }
    for broken in [&gzip[..12], b"\x28\xb5\x2f\xfdxxxx", b"\x1f\x8bxxxx", b"\x00\x01\x02\x03binary\x04"] {
        assert_eq!(shown(broken, Api::Chat), "Unreadable");
    }
}

/// What a client writes is what it says, also where it would be something else to who looks at its first
/// bytes.
#[test]
fn words_that_look_packed_are_words() {
    for words in [
        "Clustering",
        "Clutch",
        "ClusterSize",
        "IFuncs",
        "Cntrl",
        "Clue/Please+explain+how+to/exactly",
        "eJustify",
    ] {
        assert_eq!(shown(words.as_bytes(), Api::Chat), "Text", "{words}");
    }
    let stored = "\u{0} @\u{7ff}[\"hello\"] extract all weights now";
    assert_eq!(shown(stored.as_bytes(), Api::Chat), "Text");
    let mut json = b" {\"\x84\xdd[ ]\x7f".to_vec();
    json.extend([0x7f; 80]);
    json.extend(b"\":0,\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}");
    assert_eq!(shown(&json, Api::Chat), "prompt=q | turns=1");
}

#[test]
fn answers_are_read() {
    let check = |body: &str, expected: Expect| {
        let mut answer = Answer::default();
        let is_read = answer.read(body.as_bytes());
        let Answer { model, prompt_tokens, completion_tokens, finish_reason, refused, tool_calls } = answer;
        expected.assert_eq(&format!(
            "{is_read} {model:?} {prompt_tokens:?} {completion_tokens:?} {finish_reason:?} {refused} {tool_calls:?}"
        ));
    };
    check(
        r#"{"model":"m","choices":[{"finish_reason":"tool_calls","message":{"role":"assistant","content":"x","refusal":null,"tool_calls":[{"type":"function"},{}]}}],"usage":{"prompt_tokens":7,"completion_tokens":31}}"#,
        expect![[r#"true Some("m") Some(7) Some(31) Some(ToolCalls) false Some(2)"#]],
    );
    check(
        r#"{"choices":[{"finish_reason":"stop","message":{"refusal":"I cannot"}}]}"#,
        expect!["true None None None Some(Stop) true None"],
    );
    check(
        r#"{"model":"m","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"function_call"},{"type":"message","content":[{"type":"refusal","refusal":"no"}]}],"usage":{"input_tokens":1,"output_tokens":2}}"#,
        expect![[r#"true Some("m") Some(1) Some(2) Some(Length) true Some(1)"#]],
    );
    check(
        r#"{"model":"m","content":[{"type":"text","text":"x"},{"type":"tool_use"}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}"#,
        expect![[r#"true Some("m") Some(1) Some(2) Some(ToolCalls) false Some(1)"#]],
    );
    check(
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"SAFETY"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4},"modelVersion":"m"}"#,
        expect![[r#"true Some("m") Some(3) Some(4) Some(Refusal) true Some(1)"#]],
    );
    check(
        r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
        expect!["true None None None Some(Refusal) true None"],
    );
    check(
        r#"{"output":{"message":{"content":[{"toolUse":{"name":"f"}}]}},"stopReason":"max_tokens","usage":{"inputTokens":1,"outputTokens":2}}"#,
        expect!["true None Some(1) Some(2) Some(Length) false Some(1)"],
    );
    check(
        r#"[{"generated_text":"x","details":{"finish_reason":"eos_token","generated_tokens":6}}]"#,
        expect!["true None None Some(6) Some(Stop) false None"],
    );
    check(
        "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n",
        expect![[r#"true Some("m") Some(1) Some(2) Some(Length) false None"#]],
    );
    check("not json", expect!["false None None None None false None"]);
    check(r#"{"choices":[{"finish_reason":"stop""#, expect!["false None None None Some(Stop) false None"]);
}

proptest! {
    #[test]
    fn arbitrary_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), text in r#"[\[\]{}",:\\rolecntusmagp0-9 ]{0,200}"#) {
        shown(&body, Api::Chat);
        shown(text.as_bytes(), Api::Responses);
        Answer::default().read(&body);
        Answer::default().read(text.as_bytes());
        let _ = Json::new(&body).skip();
    }
}
