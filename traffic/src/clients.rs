//! Client programs: what each shows of itself in TLS, HTTP/2, its headers and their order.

use crate::random::{Random, mixed};

/// What kind of program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A browser.
    Browser,
    /// An app on a telephone.
    App,
    /// A library in somebody's program.
    Library,
    /// A coding agent or an editor.
    Agent,
}

/// A family of client programs: same TLS stack, same headers.
#[derive(Debug)]
pub struct Family {
    /// Name in this file.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Share among its kind, in proportion.
    pub weight: u32,
    /// User agents; `{v}` is the version.
    pub agents: &'static [&'static str],
    /// Versions in the field, the newest first.
    pub versions: (u32, u32),
    /// JA4.
    pub ja4: &'static str,
    /// Whether JA3 differs from connection to connection, because extensions are shuffled.
    pub shuffles: bool,
    /// HTTP/2 settings, where it speaks HTTP/2.
    pub h2: Option<&'static str>,
    /// Header names in their order.
    pub headers: &'static str,
}

const CHROMIUM_HEADERS: &str = "host,content-length,sec-ch-ua-platform,authorization,user-agent,sec-ch-ua,content-type,sec-ch-ua-mobile,accept,origin,sec-fetch-site,sec-fetch-mode,sec-fetch-dest,referer,accept-encoding,accept-language,cookie";
const FIREFOX_HEADERS: &str = "host,user-agent,accept,accept-language,accept-encoding,referer,content-type,authorization,content-length,origin,cookie,sec-fetch-dest,sec-fetch-mode,sec-fetch-site,te";
const SAFARI_HEADERS: &str = "host,accept,content-type,authorization,sec-fetch-site,accept-language,accept-encoding,sec-fetch-mode,origin,user-agent,content-length,referer,sec-fetch-dest,cookie";
const CHROME_JA4: &str = "t13d1516h2_8daaf6152771_d8a2da3f94cd";
const CHROME_H2: &str = "1:65536;2:0;4:6291456;6:262144";
const SAFARI_JA4: &str = "t13d2014h2_a09f3c656075_e42f34c56612";
const OPENSSL_JA4: &str = "t13d1812h1_85036bcba153_375ca2c5e164";
const STAINLESS_HEADERS: &str = "host,accept-encoding,connection,accept,content-type,user-agent,x-stainless-lang,x-stainless-package-version,x-stainless-os,x-stainless-arch,x-stainless-runtime,authorization,content-length";

/// Every family.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "chrome-windows",
        kind: Kind::Browser,
        weight: 46,
        agents: &[
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36",
        ],
        versions: (137, 141),
        ja4: CHROME_JA4,
        shuffles: true,
        h2: Some(CHROME_H2),
        headers: CHROMIUM_HEADERS,
    },
    Family {
        name: "chrome-mac",
        kind: Kind::Browser,
        weight: 16,
        agents: &[
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36",
        ],
        versions: (137, 141),
        ja4: CHROME_JA4,
        shuffles: true,
        h2: Some(CHROME_H2),
        headers: CHROMIUM_HEADERS,
    },
    Family {
        name: "edge",
        kind: Kind::Browser,
        weight: 12,
        agents: &[
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36 Edg/{v}.0.0.0",
        ],
        versions: (137, 141),
        ja4: CHROME_JA4,
        shuffles: true,
        h2: Some(CHROME_H2),
        headers: CHROMIUM_HEADERS,
    },
    Family {
        name: "chrome-android",
        kind: Kind::Browser,
        weight: 18,
        agents: &[
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Mobile Safari/537.36",
        ],
        versions: (137, 141),
        ja4: CHROME_JA4,
        shuffles: true,
        h2: Some(CHROME_H2),
        headers: CHROMIUM_HEADERS,
    },
    Family {
        name: "firefox",
        kind: Kind::Browser,
        weight: 12,
        agents: &[
            "Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
        ],
        versions: (140, 144),
        ja4: "t13d1717h2_5b57614c22b0_3cbfd9057e0d",
        shuffles: false,
        h2: Some("1:65536;4:131072;5:16384"),
        headers: FIREFOX_HEADERS,
    },
    Family {
        name: "safari",
        kind: Kind::Browser,
        weight: 14,
        agents: &[
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{v}.0 Safari/605.1.15",
            "Mozilla/5.0 (iPhone; CPU iPhone OS {v}_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{v}.0 Mobile/15E148 Safari/604.1",
        ],
        versions: (17, 19),
        ja4: SAFARI_JA4,
        shuffles: false,
        h2: Some("2:0;3:100;4:2097152"),
        headers: SAFARI_HEADERS,
    },
    Family {
        name: "app-ios",
        kind: Kind::App,
        weight: 5,
        agents: &["Companion/{v} CFNetwork/3826.500 Darwin/24.5.0"],
        versions: (310, 326),
        ja4: "t13d2014h2_a09f3c656075_14788d8d241b",
        shuffles: false,
        h2: Some("2:0;3:100;4:2097152"),
        headers: "host,content-type,accept,authorization,accept-language,accept-encoding,user-agent,content-length",
    },
    Family {
        name: "app-android",
        kind: Kind::App,
        weight: 6,
        agents: &["Companion/{v} (Android 15; okhttp/4.12.0)"],
        versions: (310, 326),
        ja4: "t13d1613h2_46e7e9700bed_45f260be83e2",
        shuffles: false,
        h2: Some("4:16777216"),
        headers: "authorization,user-agent,content-type,content-length,host,connection,accept-encoding",
    },
    Family {
        name: "openai-python",
        kind: Kind::Library,
        weight: 40,
        agents: &["OpenAI/Python 2.{v}.0", "AsyncOpenAI/Python 2.{v}.0"],
        versions: (1, 9),
        ja4: OPENSSL_JA4,
        shuffles: false,
        h2: None,
        headers: STAINLESS_HEADERS,
    },
    Family {
        name: "httpx",
        kind: Kind::Library,
        weight: 10,
        agents: &["python-httpx/0.{v}.1"],
        versions: (26, 28),
        ja4: "t13d1812h2_85036bcba153_375ca2c5e164",
        shuffles: false,
        h2: Some("1:4096;2:0;3:100;4:65535;5:16384;6:65536"),
        headers: "host,accept,accept-encoding,connection,user-agent,authorization,content-length,content-type",
    },
    Family {
        name: "requests",
        kind: Kind::Library,
        weight: 12,
        agents: &["python-requests/2.{v}.3"],
        versions: (31, 32),
        ja4: OPENSSL_JA4,
        shuffles: false,
        h2: None,
        headers: "host,user-agent,accept-encoding,accept,connection,authorization,content-type,content-length",
    },
    Family {
        name: "aiohttp",
        kind: Kind::Library,
        weight: 7,
        agents: &["Python/3.12 aiohttp/3.{v}.2"],
        versions: (10, 13),
        ja4: "t13d1811h1_85036bcba153_9ab66a1c9ed3",
        shuffles: false,
        h2: None,
        headers: "host,authorization,accept,accept-encoding,user-agent,content-length,content-type",
    },
    Family {
        name: "openai-node",
        kind: Kind::Library,
        weight: 18,
        agents: &["OpenAI/JS 6.{v}.0"],
        versions: (1, 9),
        ja4: "t13d5911h1_a33745022dd6_1f22a2ca17c4",
        shuffles: false,
        h2: None,
        headers: "host,connection,accept,content-type,user-agent,x-stainless-retry-count,x-stainless-lang,x-stainless-package-version,x-stainless-os,x-stainless-arch,x-stainless-runtime,authorization,accept-language,sec-fetch-mode,accept-encoding,content-length",
    },
    Family {
        name: "go",
        kind: Kind::Library,
        weight: 9,
        agents: &["Go-http-client/{v}.0"],
        versions: (2, 2),
        ja4: "t13d1312h2_f57a46bbacb6_e7c285222651",
        shuffles: false,
        h2: Some("2:0;4:4194304;6:10485760"),
        headers: "host,user-agent,content-length,authorization,content-type,accept-encoding",
    },
    Family {
        name: "java",
        kind: Kind::Library,
        weight: 7,
        agents: &["Java-http-client/{v}.0.4", "okhttp/4.{v}.0"],
        versions: (17, 21),
        ja4: "t13d4907h2_0d8feac7bc37_7395dae3b2f3",
        shuffles: false,
        h2: Some("1:16384;2:0;3:0;4:16777216;5:16384"),
        headers: "connection,content-length,host,http2-settings,upgrade,user-agent,authorization,content-type",
    },
    Family {
        name: "curl",
        kind: Kind::Library,
        weight: 3,
        agents: &["curl/8.{v}.1"],
        versions: (5, 15),
        ja4: "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6",
        shuffles: false,
        h2: Some("3:100;4:10485760;2:0"),
        headers: "host,user-agent,accept,content-type,authorization,content-length",
    },
    Family {
        name: "coding-agent",
        kind: Kind::Agent,
        weight: 6,
        agents: &["pairwright-cli/1.{v}.0 (external, cli)"],
        versions: (40, 58),
        ja4: "t13d5911h1_a33745022dd6_1f22a2ca17c4",
        shuffles: false,
        h2: None,
        headers: "host,connection,accept,content-type,user-agent,x-stainless-lang,x-stainless-package-version,x-stainless-os,x-stainless-arch,x-stainless-runtime,x-app,authorization,accept-language,sec-fetch-mode,accept-encoding,content-length",
    },
    Family {
        name: "editor",
        kind: Kind::Agent,
        weight: 4,
        agents: &["loomcode/1.{v}.2 (electron)"],
        versions: (95, 106),
        ja4: "t13d1517h2_8daaf6152771_b6f405a00624",
        shuffles: true,
        h2: Some(CHROME_H2),
        headers: "host,content-length,authorization,user-agent,content-type,accept,sec-fetch-site,sec-fetch-mode,sec-fetch-dest,accept-encoding,accept-language",
    },
];

/// What a proxy that opens its customers' TLS shows instead of the client behind it.
const INSPECTOR_JA4: &str = "t12d2209h1_3b4f3b1f9c4a_b7c1d2e9a0f4";

/// One client program of an account, as small numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Family whose user agent and headers are sent.
    pub shown: u8,
    /// Family whose TLS and HTTP/2 are really there.
    pub real: u8,
    agent: u8,
    version: u16,
    /// A proxy stands between that ends TLS.
    pub inspected: bool,
}

/// What a request shows of its client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// User-Agent header.
    pub user_agent: String,
    /// JA3, 32 hex digits.
    pub ja3: String,
    /// JA4.
    pub ja4: &'static str,
    /// HTTP/2 settings.
    pub h2: Option<&'static str>,
    /// Header names in their order, joined by commas.
    pub headers: &'static str,
    /// A proxy's header follows them.
    pub via: bool,
}

impl Client {
    /// A client of this kind.
    pub fn any(kind: Kind, random: &mut Random) -> Self {
        let weights = FAMILIES.iter().map(|family| if family.kind == kind { family.weight } else { 0 });
        Self::of_family(random.weighted(weights) as u8, random)
    }

    /// A client of the family with this name.
    ///
    /// # Panics
    /// When there is no such family: names come from code of this crate.
    pub fn named(name: &str, random: &mut Random) -> Self {
        let family = FAMILIES.iter().position(|family| family.name == name);
        Self::of_family(family.unwrap_or_else(|| panic!("no client family {name}")) as u8, random)
    }

    fn of_family(family: u8, random: &mut Random) -> Self {
        let known = &FAMILIES[usize::from(family)];
        let (oldest, newest) = known.versions;
        // Most people have the newest.
        let age = random.zipf(u64::from(newest - oldest + 1)) as u32;
        Self {
            shown: family,
            real: family,
            agent: random.below(known.agents.len() as u64) as u8,
            version: (newest - age) as u16,
            inspected: false,
        }
    }

    /// The same client in its newest version, where everybody is up to date.
    pub fn updated(mut self, is_up_to_date: bool) -> Self {
        if is_up_to_date {
            (self.version, self.agent) = (FAMILIES[usize::from(self.shown)].versions.1 as u16, 0);
        }
        self
    }

    /// The same client over another program's TLS: a script that claims to be a browser.
    pub fn over(mut self, real: Self) -> Self {
        self.real = real.real;
        self
    }

    /// The same client behind a proxy that opens TLS.
    pub fn inspected(mut self) -> Self {
        self.inspected = true;
        self
    }

    /// What a request of it shows; `connection` differs from one connection to the next.
    pub fn show(self, connection: u64, shown: &mut Shown) {
        let (seen, real) = (&FAMILIES[usize::from(self.shown)], &FAMILIES[usize::from(self.real)]);
        shown.user_agent.clear();
        let mut parts = seen.agents[usize::from(self.agent)].split("{v}");
        shown.user_agent.push_str(parts.next().unwrap_or_default());
        for part in parts {
            crate::grammar::push_number(u64::from(self.version), &mut shown.user_agent);
            shown.user_agent.push_str(part);
        }
        let stack = if self.inspected { u64::MAX } else { u64::from(self.real) };
        let shuffle = if real.shuffles && !self.inspected { connection } else { 0 };
        shown.ja3.clear();
        for part in 0..2 {
            push_hex(mixed(&[0x6a61_3300, stack, shuffle, part]), 16, &mut shown.ja3);
        }
        shown.ja4 = if self.inspected { INSPECTOR_JA4 } else { real.ja4 };
        shown.h2 = if self.inspected { None } else { real.h2 };
        shown.headers = seen.headers;
        shown.via = self.inspected;
    }
}

/// Appends a number in hex digits.
pub fn push_hex(number: u64, digits: u32, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for digit in (0..digits).rev() {
        out.push(char::from(DIGITS[(number >> (4 * digit) & 15) as usize]));
    }
}
