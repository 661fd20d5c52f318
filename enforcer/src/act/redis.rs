//! Redis: how accounts stand for gateways that ask it, and the token bucket that servers share.
//!
//! | key | what |
//! |---|---|
//! | `weir:{ACCOUNT}:status` | `limited` or `suspended`; absent where nothing is in force. It expires with its hold |
//! | `weir:{ACCOUNT}:holds` | a hash: action id → `limited:UNTIL_MS`, `suspended:UNTIL_MS` (-1: without an end), or `-:UNTIL_MS`, let go |
//! | `weir:{ACCOUNT}:bucket` | the bucket's time, in microseconds |
//!
//! ACCOUNT is the pseudonym, and the braces keep an account's keys on one node of a cluster. Time is the
//! server's.

use super::actuator::{Actuator, ActuatorError, Hold};
use crate::answer::bucket::Rate;
use crate::limits::{REDIS_REPLY_BYTES_MAX, REDIS_REPLY_ITEMS_MAX, REDIS_WAIT, TOMBSTONE_MS};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use thiserror::Error;
use weir_schemas::{AccountId, Action, ActionKind};

/// Puts a hold on an account or lets it go, and says anew how the account stands.
const HOLD_SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local operation, id, status, lasts, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local held = redis.call('HGET', KEYS[1], id)
local done = 0
if operation == 'apply' then
  if not held then
    local until_ms = -1
    if lasts >= 0 then until_ms = now + lasts end
    redis.call('HSET', KEYS[1], id, status .. ':' .. string.format('%.0f', until_ms))
    done = 1
  end
elseif not held or string.sub(held, 1, 1) ~= '-' then
  redis.call('HSET', KEYS[1], id, '-:' .. string.format('%.0f', now + keep))
  done = 1
end
local worst, worst_until, forever = nil, 0, false
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local what, text = string.match(all[at + 1], '^(.-):(.+)$')
  local until_ms = tonumber(text)
  if until_ms >= 0 and until_ms <= now then
    if what == '-' then redis.call('HDEL', KEYS[1], all[at])
    else redis.call('HSET', KEYS[1], all[at], '-:' .. string.format('%.0f', now + keep)) end
  elseif what ~= '-' then
    if until_ms < 0 then forever = true end
    if worst == nil or (what == 'suspended' and worst ~= 'suspended') then
      worst, worst_until = what, until_ms
    elseif what == worst and worst_until >= 0 and (until_ms < 0 or until_ms > worst_until) then
      worst_until = until_ms
    end
  end
end
if worst == nil then redis.call('DEL', KEYS[2])
elseif worst_until < 0 then redis.call('SET', KEYS[2], worst)
else redis.call('SET', KEYS[2], worst, 'PX', string.format('%.0f', worst_until - now)) end
if forever then redis.call('PERSIST', KEYS[1])
else redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep + math.max(worst_until - now, 0))) end
return done
";

/// A request of an account, of what it costs, how far its time may be ahead for it to pass, and how far it is
/// at most, as [`Rate`] has them: 0, or in how many microseconds it may be made.
const BUCKET_SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, tolerance, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local at = tonumber(redis.call('GET', KEYS[1]) or now)
at = math.min(math.max(at, now), now + most)
local wait = at - now - tolerance
if wait > 0 then return wait end
at = at + cost
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000) + 1000)
return 0
";

/// Why Redis gave no answer.
#[derive(Debug, Error)]
pub enum RedisError {
    /// It cannot be reached, or the connection broke.
    #[error("Redis does not answer: {0}")]
    Away(#[from] io::Error),
    /// It answered with an error.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// What it answered is no answer.
    #[error("Redis answers with something else: {0}")]
    Malformed(&'static str),
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reply {
    Status(String),
    Error(String),
    Number(i64),
    Text(Option<Vec<u8>>),
    List(Vec<Reply>),
}

/// One connection, made when it is needed.
#[derive(Debug)]
pub struct Client {
    address: String,
    connection: Option<BufReader<TcpStream>>,
    hold: Script,
    bucket: Script,
}

/// A script, and by which digest the server knows it.
#[derive(Debug)]
struct Script {
    text: &'static str,
    digest: Option<String>,
}

impl Script {
    const fn new(text: &'static str) -> Self {
        Self { text, digest: None }
    }
}

impl Client {
    /// A client of the server at `host:port`.
    pub fn new(address: &str) -> Self {
        let (hold, bucket) = (Script::new(HOLD_SCRIPT), Script::new(BUCKET_SCRIPT));
        Self { address: address.to_owned(), connection: None, hold, bucket }
    }

    /// Takes a request that counts as `hits` out of the account's bucket, which all servers share: none where
    /// it may be made, or in how many microseconds.
    pub fn take_tokens(
        &mut self,
        account: AccountId,
        rate: Rate,
        hits: u32,
    ) -> Result<Option<i64>, RedisError> {
        let key = format!("weir:{{{account}}}:bucket");
        let terms = [rate.cost_us(hits), rate.tolerance_us(hits), rate.debt_max_us()];
        let [cost, tolerance, most] = terms.map(|us| us.to_string());
        let wait_us = self.run(|client| &mut client.bucket, &[&key], &[&cost, &tolerance, &most])?;
        Ok((wait_us > 0).then_some(wait_us))
    }

    /// Puts a hold on its account or lets it go; whether that was news.
    fn hold(&mut self, operation: &str, action: &Action, lasts_ms: Option<i64>) -> Result<bool, RedisError> {
        let account = action.account;
        let keys = [format!("weir:{{{account}}}:holds"), format!("weir:{{{account}}}:status")];
        let (id, lasts_ms) = (action.action_id.to_string(), lasts_ms.unwrap_or(-1).to_string());
        let status = if action.kind == ActionKind::RateLimit { "limited" } else { "suspended" };
        let keep_ms = TOMBSTONE_MS.to_string();
        let arguments = [operation, &id, status, &lasts_ms, &keep_ms];
        Ok(self.run(|client| &mut client.hold, &[&keys[0], &keys[1]], &arguments)? == 1)
    }

    /// Runs a script by its digest, and tells the server the script where it does not know it.
    fn run(
        &mut self,
        script: fn(&mut Self) -> &mut Script,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<i64, RedisError> {
        for _ in 0..2 {
            let digest = match script(self).digest.clone() {
                Some(digest) => digest,
                None => {
                    let text = script(self).text;
                    let digest = match self.call(&["SCRIPT", "LOAD", text])? {
                        Reply::Text(Some(digest)) => String::from_utf8_lossy(&digest).into_owned(),
                        Reply::Error(error) => return Err(RedisError::Refused(error)),
                        _ => return Err(RedisError::Malformed("a script has no digest")),
                    };
                    script(self).digest = Some(digest.clone());
                    digest
                }
            };
            let count = keys.len().to_string();
            let mut words = vec!["EVALSHA", &digest, &count];
            words.extend(keys);
            words.extend(arguments);
            match self.call(&words)? {
                Reply::Number(number) => return Ok(number),
                // It was restarted, or another one took its place.
                Reply::Error(error) if error.starts_with("NOSCRIPT") => script(self).digest = None,
                Reply::Error(error) => return Err(RedisError::Refused(error)),
                _ => return Err(RedisError::Malformed("a script gives no number")),
            }
        }
        Err(RedisError::Refused("it forgets scripts as soon as it is told them".into()))
    }

    /// Sends a command and reads its reply. A connection that failed is not used again.
    fn call(&mut self, words: &[&str]) -> Result<Reply, RedisError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.address)?,
        };
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        connection.get_mut().write_all(command.as_bytes())?;
        let reply = read_reply(&mut connection, 0)?;
        self.connection = Some(connection);
        Ok(reply)
    }
}

fn connect(address: &str) -> io::Result<BufReader<TcpStream>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{address} is no address"));
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, REDIS_WAIT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(REDIS_WAIT))?;
                stream.set_write_timeout(Some(REDIS_WAIT))?;
                stream.set_nodelay(true)?;
                return Ok(BufReader::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_reply(from: &mut impl io::BufRead, depth: usize) -> Result<Reply, RedisError> {
    let mut line = Vec::new();
    from.by_ref().take(REDIS_REPLY_BYTES_MAX).read_until(b'\n', &mut line)?;
    let text = line.strip_suffix(b"\r\n").ok_or(RedisError::Malformed("a line does not end"))?;
    let text = std::str::from_utf8(text).map_err(|_| RedisError::Malformed("a line is no text"))?;
    let (kind, rest) = text.split_at_checked(1).ok_or(RedisError::Malformed("a line is empty"))?;
    let number = || rest.parse::<i64>().map_err(|_| RedisError::Malformed("a number is none"));
    Ok(match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Number(number()?),
        "$" => match number()? {
            -1 => Reply::Text(None),
            length if (0..=REDIS_REPLY_BYTES_MAX as i64).contains(&length) => {
                let mut bytes = vec![0; length as usize + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(length as usize);
                Reply::Text(Some(bytes))
            }
            _ => return Err(RedisError::Malformed("a text is too long")),
        },
        "*" => match number()? {
            count if depth < 4 && (-1..=REDIS_REPLY_ITEMS_MAX).contains(&count) => {
                let items = (0..count).map(|_| read_reply(from, depth + 1));
                Reply::List(items.collect::<Result<_, _>>()?)
            }
            _ => return Err(RedisError::Malformed("a list is too long or too deep")),
        },
        _ => return Err(RedisError::Malformed("a reply is of no known kind")),
    })
}

/// Holds in Redis.
#[derive(Debug)]
pub struct RedisActuator(Client);

impl RedisActuator {
    /// Holds in the server at `host:port`.
    pub fn new(address: &str) -> Self {
        Self(Client::new(address))
    }
}

impl Actuator for RedisActuator {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn needs_raw(&self) -> bool {
        false
    }

    fn apply(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        self.0.hold("apply", hold.action, hold.lasts_ms()).map(drop).map_err(away)
    }

    fn release(&mut self, hold: &Hold<'_>) -> Result<(), ActuatorError> {
        self.0.hold("release", hold.action, None).map(drop).map_err(away)
    }
}

/// A server that is loading, full or read-only answers with an error and is better later.
fn away(error: RedisError) -> ActuatorError {
    ActuatorError::Away(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::TcpListener;
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    fn read(bytes: &[u8]) -> Result<Reply, RedisError> {
        read_reply(&mut io::BufReader::new(bytes), 0)
    }

    #[test]
    fn every_kind_of_reply_is_read() {
        assert_eq!(read(b"+OK\r\n").unwrap(), Reply::Status("OK".into()));
        assert_eq!(read(b"-NOSCRIPT x\r\n").unwrap(), Reply::Error("NOSCRIPT x".into()));
        assert_eq!(read(b":-7\r\n").unwrap(), Reply::Number(-7));
        assert_eq!(read(b"$3\r\na\r\n\r\n").unwrap(), Reply::Text(Some(b"a\r\n".to_vec())));
        assert_eq!(read(b"$-1\r\n").unwrap(), Reply::Text(None));
        let list = Reply::List(vec![Reply::Number(1), Reply::Text(Some(b"x".to_vec()))]);
        assert_eq!(read(b"*2\r\n:1\r\n$1\r\nx\r\n").unwrap(), list);
    }

    /// A Redis, which is killed at the end.
    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn however_much_a_request_counts_as_an_hour_later_the_account_may_ask_again_of_any_server() {
        if !Path::new("/usr/bin/redis-server").exists() {
            assert!(std::env::var_os("CI").is_none(), "redis-server is not installed, and CI has it");
            return;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = Command::new("/usr/bin/redis-server");
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""]);
        let _server = Server(command.stdout(Stdio::null()).spawn().unwrap());
        let is_up = (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            TcpStream::connect(address).is_ok()
        });
        assert!(is_up, "Redis does not start");
        let mut client = Client::new(&address.to_string());
        let rate = Rate { per_minute: 6, burst: 3 };
        let most_us = rate.debt_max_us() - rate.tolerance_us(1);
        let mut asks =
            |number: u8, rate, hits| client.take_tokens(AccountId([number; 16]), rate, hits).unwrap();
        assert_eq!(asks(1, rate, 1_000_000), None);
        // Redis's own clock goes on meanwhile.
        let waits_us = asks(1, rate, 1).unwrap();
        assert!((most_us - 60_000_000..=most_us).contains(&waits_us), "{waits_us}");
        // What a slower rate put off further is no longer put off.
        let slow = Rate { per_minute: 1, burst: 600 };
        assert_eq!(asks(2, slow, 600), None);
        assert_eq!(asks(2, rate, 1), Some(most_us), "not a microsecond more");
    }

    #[test]
    fn what_is_no_reply_or_too_much_is_refused() {
        for bytes in
            [&b""[..], b"+OK", b"?\r\n", b":x\r\n", b"$99999999999\r\n", b"*99999999\r\n", b"$5\r\nab\r\n"]
        {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert!(read(&b"*1\r\n".repeat(20)).is_err(), "too deep");
    }

    proptest! {
        #[test]
        fn no_reply_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = read(&bytes);
        }
    }
}
