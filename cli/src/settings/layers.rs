//! The layers of a configuration: defaults, file, environment, flags. Each value knows where it came from, so
//! that what is wrong with it can be told.

use super::declare::{FLAG, NUMBER, Value};
use super::{ConfigError, KEYS, Key};
use config::{Config, File, FileFormat, Map, Source, ValueKind};
use std::collections::BTreeMap;
use std::path::Path;

/// Where values of no other origin are from.
const DEFAULT: &str = "the default";

/// What all layers together set, by name.
pub struct Layers(BTreeMap<String, config::Value>);

impl Layers {
    /// Lays flags over the environment over the file over the defaults, and refuses keys that are none.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
        flags: &[(&'static str, String)],
    ) -> Result<Self, ConfigError> {
        let path = file.map(|file| file.display().to_string()).unwrap_or_default();
        let unreadable = |reason: String| ConfigError::File { path: path.clone(), reason };
        let mut builder = Config::builder().add_source(defaults());
        if let Some(file) = file {
            let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
            builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
        }
        let built = builder.add_source(environment(env)?).add_source(by_flag(flags)).build();
        let built = built.map_err(|error| unreadable(error.to_string()))?;
        let mut values = BTreeMap::new();
        flatten("", &built.cache, &path, &mut values);
        for (name, value) in &values {
            if !KEYS.iter().any(|key| key.name == name) {
                let origin = origin_of(value).to_owned();
                return Err(ConfigError::Unknown { name: name.clone(), origin });
            }
        }
        Ok(Self(values))
    }

    /// The value of a key that is declared.
    pub fn get<T: Value>(&self, name: &str) -> Result<T, ConfigError> {
        let nothing = config::Value::new(Some(&DEFAULT.to_owned()), ValueKind::Nil);
        let value = self.0.get(name).cloned().unwrap_or(nothing);
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            return Err(ConfigError::Unknown { name: name.to_owned(), origin: DEFAULT.to_owned() });
        };
        let refused = || {
            let is_shown = key.kind == NUMBER || key.kind == FLAG || !key.choices.is_empty();
            let text = value.clone().into_string().ok().filter(|_| is_shown);
            ConfigError::Value {
                name: name.to_owned(),
                origin: origin_of(&value).to_owned(),
                shown: text.map(|text| format!(" to {text:?}")).unwrap_or_default(),
                allowed: key.allowed(),
            }
        };
        let checked = checked(key, &value).ok_or_else(refused)?;
        config::Value::new(None, checked).try_deserialize().map_err(|_| refused())
    }
}

/// What a key's value is, if it may be that. Whether it stands in a file as a number or as a text, and every
/// value of the environment and of flags is one, makes no difference.
fn checked(key: &Key, value: &config::Value) -> Option<ValueKind> {
    if matches!(value.kind, ValueKind::Nil) {
        return key.is_optional.then_some(ValueKind::Nil);
    }
    let text = value.clone().into_string().ok()?;
    if text.is_empty() && key.is_optional {
        return Some(ValueKind::Nil);
    }
    match key.kind {
        NUMBER => {
            let number: u64 = text.parse().ok()?;
            let (min, max) = key.range.unwrap_or((0, u64::MAX));
            (min..=max).contains(&number).then_some(ValueKind::U64(number))
        }
        FLAG => text.parse().ok().map(ValueKind::Boolean),
        _ if key.choices.is_empty() => Some(ValueKind::String(text)),
        _ => {
            let choice = key.choices.iter().find(|choice| choice.eq_ignore_ascii_case(&text))?;
            Some(ValueKind::String((*choice).to_owned()))
        }
    }
}

fn origin_of(value: &config::Value) -> &str {
    value.origin().unwrap_or(DEFAULT)
}

/// Tables become names with dots. What has no origin of its own is the file's.
fn flatten(prefix: &str, value: &config::Value, file: &str, values: &mut BTreeMap<String, config::Value>) {
    match &value.kind {
        ValueKind::Table(table) => {
            let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}.") };
            for (name, value) in table {
                flatten(&format!("{prefix}{name}"), value, file, values);
            }
        }
        kind => {
            let origin = value.origin().unwrap_or(file).to_owned();
            values.insert(prefix.to_owned(), config::Value::new(Some(&origin), kind.clone()));
        }
    }
}

/// Texts by the name of their key, each with its origin.
#[derive(Debug, Clone, Default)]
struct Layer(Map<String, config::Value>);

impl Layer {
    fn set(&mut self, key: &Key, text: &str, origin: &str) {
        self.0.insert(key.name.to_owned(), config::Value::new(Some(&origin.to_owned()), text));
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, config::Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

fn defaults() -> Layer {
    let mut layer = Layer::default();
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        layer.set(key, key.default, DEFAULT);
    }
    layer
}

fn environment(env: impl Iterator<Item = (String, String)>) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for (name, text) in env.filter(|(name, _)| name.starts_with("WEIR_") && !is_reserved(name)) {
        let Some(key) = KEYS.iter().find(|key| key.env() == name) else {
            return Err(ConfigError::Unknown { name, origin: "the environment".into() });
        };
        layer.set(key, &text, &name);
    }
    Ok(layer)
}

fn by_flag(flags: &[(&'static str, String)]) -> Layer {
    let mut layer = Layer::default();
    for (name, text) in flags {
        if let Some(key) = KEYS.iter().find(|key| key.name == *name) {
            layer.set(key, text, &format!("--{}", key.flag()));
        }
    }
    layer
}

/// Names in the environment that begin like a key's but are something else: the configuration
/// file's own, and what Weir's development tools use.
fn is_reserved(name: &str) -> bool {
    ["WEIR_CONFIG", "WEIR_CACHE", "WEIR_TEST_"].iter().any(|reserved| name.starts_with(reserved))
}
