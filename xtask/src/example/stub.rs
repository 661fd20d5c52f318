//! A model API that answers at once and knows nothing: OpenAI's shapes over plain HTTP, loopback only.
//!
//! It also plays the gateway's auth service: `GET /auth` answers with what is known of the key.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde_json::{Value, json};

use super::accounts::Facts;

const BODY_BYTES_MAX: u64 = 8 << 20;
const HEAD_BYTES_MAX: u64 = 64 << 10;
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What the stub's model refuses to do.
const REFUSED: [&str; 2] = ["phishing email", "hidden system instructions"];

/// A running stub; it stops when dropped.
pub struct LlmStub {
    pub address: SocketAddr,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl LlmStub {
    /// Listens on a free loopback port and answers until dropped.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub fn start(accounts: BTreeMap<String, Facts>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port")?;
        let address = listener.local_addr().context("no loopback port")?;
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let model = Arc::new(Model { accounts, answers: AtomicU64::new(0) });
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let model = Arc::clone(&model);
                // nginx closes a broken exchange and logs a 502, which the caller then counts.
                thread::spawn(move || stream.and_then(|stream| model.serve(stream)).ok());
            }
        });
        Ok(Self { address, stopping, accepting: Some(accepting) })
    }
}

impl Drop for LlmStub {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // The accept loop looks at the flag when a connection wakes it.
        if TcpStream::connect(self.address).is_ok()
            && let Some(accepting) = self.accepting.take()
        {
            accepting.join().ok();
        }
    }
}

struct Model {
    accounts: BTreeMap<String, Facts>,
    answers: AtomicU64,
}

/// One answer: status, headers of its own, JSON body.
struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Model {
    /// nginx speaks HTTP/1.0 to its upstreams unless told otherwise: one exchange a connection.
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        let mut reader = BufReader::new(stream.try_clone()?.take(HEAD_BYTES_MAX + BODY_BYTES_MAX));
        let mut request_line = String::new();
        reader.read_line(&mut request_line)?;
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;

        let path = request_line.split(' ').nth(1).unwrap_or_default();
        let answer = match path.split('?').next().unwrap_or_default() {
            "/auth" => self.auth(&headers),
            "/v1/models" => models(),
            "/v1/chat/completions" => self.chat(&body),
            _ => error("404 Not Found", "no such endpoint"),
        };
        let body = answer.body.to_string();
        let mut head = format!(
            "HTTP/1.0 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            answer.status,
            body.len()
        );
        for (name, value) in answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes())
    }

    fn auth(&self, headers: &BTreeMap<String, String>) -> Answer {
        let bearer = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let key = bearer.or(headers.get("x-api-key").map(String::as_str)).unwrap_or_default();
        let Some(facts) = self.accounts.get(key) else {
            return error("401 Unauthorized", "unknown API key");
        };
        let headers = vec![
            ("X-Gateway-Org", facts.org.clone()),
            ("X-Gateway-Payment-Hash", facts.payment.clone()),
            ("X-Gateway-Country", facts.country.clone()),
            ("X-Gateway-Asn", facts.asn.to_string()),
            ("X-Gateway-Asn-Org", facts.asn_org.clone()),
        ];
        Answer { status: "200 OK", headers, body: json!({}) }
    }

    fn chat(&self, body: &[u8]) -> Answer {
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            return error("400 Bad Request", "the body is not JSON");
        };
        let (Some(model), Some(messages)) = (request["model"].as_str(), request["messages"].as_array())
        else {
            return error("400 Bad Request", "model and messages are required");
        };
        let texts: Vec<&str> = messages.iter().filter_map(|m| m["content"].as_str()).collect();
        let prompt = texts.last().copied().unwrap_or_default();
        let refused = REFUSED.iter().any(|what| prompt.contains(what));
        let (message, finish) = if refused {
            let refusal = "I can't help with that.";
            (json!({"role": "assistant", "content": null, "refusal": refusal}), "content_filter")
        } else {
            (json!({"role": "assistant", "content": answer_text(prompt), "refusal": null}), "stop")
        };
        let prompt_tokens = texts.iter().map(|text| tokens(text)).sum::<usize>();
        let answer = message["content"].as_str().or(message["refusal"].as_str()).unwrap_or_default();
        let limit = request["max_tokens"].as_u64().unwrap_or(4_096) as usize;
        let completion_tokens = tokens(answer).min(limit);
        // A model is slower the more it says; this keeps latencies from being all alike.
        thread::sleep(Duration::from_micros(20_000 + 200 * completion_tokens as u64));

        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let body = json!({
            "id": format!("chatcmpl-example-{number:06}"),
            "object": "chat.completion",
            "created": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": null}],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        });
        let headers = vec![
            // A client's model name goes into a header; what could end the line does not.
            ("X-Model", model.chars().filter(|c| !c.is_control()).collect()),
            ("X-Prompt-Tokens", prompt_tokens.to_string()),
            ("X-Completion-Tokens", completion_tokens.to_string()),
            ("X-Finish-Reason", finish.to_owned()),
        ];
        Answer { status: "200 OK", headers, body }
    }
}

fn models() -> Answer {
    let model = |id| json!({"id": id, "object": "model", "created": 1_735_689_600, "owned_by": "example"});
    let data: Vec<Value> = ["atlas-mini", "atlas-1", "atlas-2"].into_iter().map(model).collect();
    Answer { status: "200 OK", headers: Vec::new(), body: json!({"object": "list", "data": data}) }
}

fn error(status: &'static str, message: &str) -> Answer {
    let body = json!({"error": {"message": message, "type": "invalid_request_error", "code": null}});
    Answer { status, headers: Vec::new(), body }
}

/// A step-by-step prompt gets a long answer, any other one that grows with the question.
fn answer_text(prompt: &str) -> String {
    let steps = if prompt.contains("step by step") { 40 } else { 1 + prompt.len() / 30 };
    (1..=steps).map(|step| format!("Step {step}: this follows from what was said before. ")).collect()
}

/// Four bytes a token, the usual rule of thumb for English.
fn tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::accounts::Accounts;

    fn ask(request: &str) -> String {
        let stub = LlmStub::start(Accounts::load().unwrap().facts()).unwrap();
        let mut stream = TcpStream::connect(stub.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn post(body: &str) -> String {
        ask(&format!("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    #[test]
    fn a_known_key_is_answered_with_what_the_auth_service_knows() {
        let answer = ask("GET /auth HTTP/1.0\r\nAuthorization: Bearer sk-example-pilot-devops\r\n\r\n");
        assert!(
            answer.starts_with("HTTP/1.0 200") && answer.contains("X-Gateway-Org: org-pilot\r\n"),
            "{answer}"
        );
    }

    #[test]
    fn an_unknown_key_is_turned_away() {
        assert!(
            ask("GET /auth HTTP/1.0\r\nAuthorization: Bearer nobody\r\n\r\n").starts_with("HTTP/1.0 401")
        );
    }

    #[test]
    fn a_chat_is_answered_with_usage_in_body_and_headers() {
        let answer = post(r#"{"model":"atlas-1","messages":[{"role":"user","content":"twelve bytes"}]}"#);
        assert!(
            answer.contains("X-Prompt-Tokens: 3\r\n") && answer.contains(r#""prompt_tokens":3"#),
            "{answer}"
        );
    }

    #[test]
    fn what_the_model_refuses_has_a_refusal_and_no_content() {
        let answer = post(r#"{"model":"atlas-1","messages":[{"role":"user","content":"a phishing email"}]}"#);
        assert!(answer.contains(r#""content":null"#) && answer.contains("content_filter"), "{answer}");
    }

    #[test]
    fn a_body_that_is_not_a_chat_is_a_client_error() {
        for body in ["", "{", "42", r#"{"model":7}"#] {
            assert!(post(body).starts_with("HTTP/1.0 400"), "{body}");
        }
    }
}
