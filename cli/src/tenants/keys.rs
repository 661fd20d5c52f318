//! What a tenant may choose: every key of its file, declared once.

use super::limits::ID_BYTES_MAX;
use crate::settings::{FailureMode, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::ops::Range;
use toml::Spanned;
use weir_schemas::tenant::is_id;
use weir_traffic::drill::{PREFIX, is_drill};

/// A key, for the reference page.
struct Key {
    name: &'static str,
    allowed: String,
    default: &'static str,
    doc: &'static str,
}

/// Declares the keys: one line becomes a field, its check, and a row of the reference.
macro_rules! tenant_keys {
    ($(
        $field:ident: $type:ty, default $default:literal $(in $min:literal ..= $max:literal)?, $doc:literal;
    )+) => {
        /// A tenant's file as it is written.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Text {
            $(#[serde(default)] $field: Option<Spanned<$type>>,)+
        }

        impl Text {
            /// Refuses a number that may not be.
            fn check(&self) -> Result<(), Fault> {
                $($(
                    if let Some(value) = &self.$field && !($min..=$max).contains(value.get_ref()) {
                        let reason = format!("`{}` must be {} to {}", stringify!($field), $min, $max);
                        return Err(Fault { span: value.span(), reason });
                    }
                )?)+
                Ok(())
            }
        }

        fn keys() -> Vec<Key> {
            vec![$(Key {
                name: stringify!($field),
                allowed: {
                    let allowed = allowed::<$type>();
                    $(let allowed = format!("{allowed} from {} to {}", $min, $max);)?
                    allowed
                },
                default: $default,
                doc: $doc,
            },)+]
        }
    };
}

tenant_keys! {
    id: String, default "the file's name", "Id of the tenant, as gateways name it: 1 to 64 of the characters a-z, 0-9 and `-`, and none that begins like a drill's.";
    failure_mode: FailureMode, default "`decide.failure_mode`", "What gateways are told of its requests when nothing was ever read, or what was read is older than `decide.stale_ms_max`: open lets pass whoever is not known to be suspended or limited, closed lets nobody pass.";
    limit_per_minute: u32, default "`decide.limit_per_minute`" in 1..=1_000_000, "Requests a minute that an account of it may make which is slowed down.";
    limit_burst: u32, default "`decide.limit_burst`" in 1..=1_000_000, "Requests at once that such an account may make after a pause.";
}

/// What a tenant chose; where it chose nothing the configuration holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// What its gateways are told where too little is known.
    pub failure_mode: Option<FailureMode>,
    /// Requests a minute that an account may make which is slowed down.
    pub limit_per_minute: Option<u32>,
    /// Requests at once that such an account may make.
    pub limit_burst: Option<u32>,
}

impl fmt::Display for Tenant {
    /// What it chose, as it would be written in its file, on a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { failure_mode, limit_per_minute, limit_burst } = self;
        let chosen = [
            failure_mode.map(|mode| format!("failure_mode = \"{mode}\"")),
            limit_per_minute.map(|limit| format!("limit_per_minute = {limit}")),
            limit_burst.map(|limit| format!("limit_burst = {limit}")),
        ];
        f.write_str(&chosen.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// Tenants on a line each, with what they chose, and how many they are.
pub fn shown(tenants: &BTreeMap<String, Tenant>) -> String {
    let wide = tenants.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (id, tenant) in tenants {
        let line = format!("{id:wide$}  {tenant}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = writeln!(text, "{} tenants", tenants.len());
    text
}

/// What is wrong with a file, and with which of its bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub span: Range<usize>,
    pub reason: String,
}

impl Tenant {
    /// One that chose nothing.
    pub const CHOSE_NOTHING: Self = Self { failure_mode: None, limit_per_minute: None, limit_burst: None };

    /// Reads a file: the id that it gives, and where, and what the tenant chose.
    ///
    /// # Errors
    /// When it says something that is not to be said.
    pub fn parse(text: &str) -> Result<(Option<Spanned<String>>, Self), Fault> {
        let read: Text = toml::from_str(text).map_err(|error| Fault {
            span: error.span().unwrap_or(0..0),
            reason: error.message().to_owned(),
        })?;
        read.check()?;
        if let Some(id) = &read.id {
            check_id(id.get_ref()).map_err(|reason| Fault { span: id.span(), reason })?;
        }
        let chosen = Self {
            failure_mode: read.failure_mode.map(Spanned::into_inner),
            limit_per_minute: read.limit_per_minute.map(Spanned::into_inner),
            limit_burst: read.limit_burst.map(Spanned::into_inner),
        };
        Ok((read.id, chosen))
    }
}

/// Refuses an id that is none.
fn check_id(id: &str) -> Result<(), String> {
    if !is_id(id) {
        return Err(format!("`id` must have 1 to {ID_BYTES_MAX} of the characters a-z, 0-9 and `-`"));
    }
    if is_drill(id) {
        return Err(format!("tenants that begin with `{PREFIX}` are drills': choose another id"));
    }
    Ok(())
}

fn allowed<T: Value>() -> String {
    if T::CHOICES.is_empty() { T::KIND.to_owned() } else { T::CHOICES.join(", ") }
}

/// The keys of a tenant's file as a section of the configuration's page, in Markdown.
pub fn reference() -> String {
    let mut section = String::from(
        "\n## A tenant's file\n\nGenerated from the list in `cli/src/tenants/keys.rs`. With `tenants.dir` each tenant has a file \
         `ID.toml` there; it may be empty. An unknown key is an error that names file, line and column, and refuses the start.\n\n\
         | key | value | default | meaning |\n|---|---|---|---|\n",
    );
    for Key { name, allowed, default, doc } in keys() {
        let _ = writeln!(section, "| `{name}` | {allowed} | {default} | {doc} |");
    }
    section
}
