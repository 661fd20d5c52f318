//! What kind of client a user agent, a TLS hello or an HTTP/2 preface belongs to. Small tables, kept
//! here: they are meant to catch a client that contradicts itself, not to name every client.

use weir_schemas::Request;

/// What a fingerprint says its client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A browser engine.
    Browser,
    /// A programming language's HTTP library or a command-line tool.
    Script,
    /// Not in the tables.
    Unknown,
}

/// User agents of HTTP libraries, SDKs and tools, by how they begin.
const SCRIPT_AGENTS: &[&str] = &[
    "OpenAI/",
    "AsyncOpenAI/",
    "Anthropic/",
    "AsyncAnthropic/",
    "python-requests/",
    "python-httpx/",
    "Python-urllib/",
    "Python/",
    "aiohttp/",
    "curl/",
    "Wget/",
    "Go-http-client/",
    "node-fetch/",
    "node",
    "undici",
    "axios/",
    "okhttp/",
    "Java/",
    "Java-http-client/",
    "Apache-HttpClient/",
    "reqwest/",
    "ureq/",
    "Ruby",
    "Faraday",
    "GuzzleHttp/",
    "PostmanRuntime/",
    "litellm/",
    "langchain",
    "Deno/",
    "Bun/",
];

/// The second part of JA4 (the sorted cipher suites) of current browser engines.
const BROWSER_CIPHERS: &[&str] = &["8daaf6152771", "5b57614c22b0", "a09f3c656075"];

/// How the HTTP/2 settings of browser engines begin, in Akamai's notation.
const BROWSER_H2: &[&str] = &["1:65536;2:0;", "1:65536;3:1000;4:6291456", "1:65536;4:131072;5:16384"];

/// How those of libraries begin: Go's net/http, curl over nghttp2, Python's h2.
const SCRIPT_H2: &[&str] = &["2:0;4:4194304", "3:100;4:", "1:4096;2:1;", "1:4096;2:0;4:65535"];

/// What the user agent claims.
#[inline]
pub fn claimed(user_agent: &str) -> Family {
    if user_agent.starts_with("Mozilla/") {
        // Crawlers that say who they are begin like a browser.
        let honest_bot = user_agent.contains("compatible;") || user_agent.contains("bot");
        return if honest_bot { Family::Script } else { Family::Browser };
    }
    if SCRIPT_AGENTS.iter().any(|prefix| user_agent.starts_with(prefix)) {
        return Family::Script;
    }
    Family::Unknown
}

/// What the transport shows, by TLS first and HTTP/2 second.
#[inline]
pub fn shown(request: &Request<'_>) -> Family {
    let tls = request.ja4.map_or(Family::Unknown, by_ja4);
    if tls != Family::Unknown {
        return tls;
    }
    request.h2.map_or(Family::Unknown, by_h2)
}

/// JA4 reads `t13d1516h2_8daaf6152771_…`: transport, TLS version, SNI, counts, first ALPN.
fn by_ja4(ja4: &str) -> Family {
    let mut parts = ja4.split('_');
    let (Some(shape), Some(ciphers)) = (parts.next(), parts.next()) else { return Family::Unknown };
    if shape.len() != 10 || !shape.is_ascii() {
        return Family::Unknown;
    }
    let alpn = &shape[8..];
    // Every browser engine of this decade offers HTTP/2 over TLS 1.3, or HTTP/3, first. A hello that
    // offers neither cannot be one, whatever its cipher suites.
    if alpn == "00" || alpn == "h1" || !shape[1..].starts_with("13") {
        return Family::Script;
    }
    if BROWSER_CIPHERS.contains(&ciphers) { Family::Browser } else { Family::Unknown }
}

fn by_h2(settings: &str) -> Family {
    if BROWSER_H2.iter().any(|prefix| settings.starts_with(prefix)) {
        Family::Browser
    } else if SCRIPT_H2.iter().any(|prefix| settings.starts_with(prefix)) {
        Family::Script
    } else {
        Family::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agents_are_told_apart() {
        assert_eq!(
            claimed("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"),
            Family::Browser
        );
        assert_eq!(claimed("Mozilla/5.0 (compatible; ExampleBot/1.0)"), Family::Script);
        assert_eq!(claimed("OpenAI/Python 1.40.0"), Family::Script);
        assert_eq!(claimed("HarborApp/3.1 (iOS)"), Family::Unknown);
    }

    #[test]
    fn tls_hellos_are_told_apart() {
        assert_eq!(by_ja4("t13d1516h2_8daaf6152771_02713d6af862"), Family::Browser);
        assert_eq!(by_ja4("t13d1812h1_85036bcba153_b26ce05bbdd6"), Family::Script);
        assert_eq!(by_ja4("t12d190800_d83cc789557e_7af1ed941c26"), Family::Script);
        assert_eq!(by_ja4("t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"), Family::Unknown);
        assert_eq!(by_ja4("é13d3112h2_x_y"), Family::Unknown);
        assert_eq!(by_ja4(""), Family::Unknown);
    }

    #[test]
    fn http2_settings_are_told_apart() {
        assert_eq!(by_h2("1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p"), Family::Browser);
        assert_eq!(by_h2("2:0;4:4194304;6:10485760|1073741824|0|a,m,p,s"), Family::Script);
        assert_eq!(by_h2("7:7"), Family::Unknown);
    }
}
