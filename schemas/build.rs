//! Generates a Rust type, an encoder and a decoder for every schema in `avro/`.
//!
//! The .avsc files are the source of truth. A generated decoder reads the datum's fields in order
//! straight into the struct, without a generic value tree in between. A schema that says
//! `"weir.borrow": true` gets structs that borrow strings and bytes from the input.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

/// The same function that the crate uses when it learns a schema at run time.
#[path = "src/fingerprint.rs"]
mod fingerprint;

fn main() {
    println!("cargo::rerun-if-changed=avro");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/fingerprint.rs");
    let mut out = Output::default();
    for path in files(Path::new("avro")) {
        let text = fs::read_to_string(&path).expect("a schema file can be read");
        let schema: Value = serde_json::from_str(&text).expect("a schema file is JSON");
        let stem = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let borrow = schema["weir.borrow"] == Value::Bool(true);
        out.define(&schema, borrow);
        out.record_impl(&schema, &stem, borrow);
    }
    let mut history = String::from(
        "/// Every schema version that was ever committed: record name, version, text.\npub const HISTORY: &[(&str, u32, &str)] = &[\n",
    );
    for directory in directories(Path::new("avro/history")) {
        let name = directory.file_name().expect("named").to_string_lossy().into_owned();
        for path in files(&directory) {
            let version = path.file_stem().expect("named").to_string_lossy().into_owned();
            // The text itself, not its path: a build directory may be shared by clones that come and go.
            let text = fs::read_to_string(&path).expect("a schema's text");
            writeln!(history, "    ({name:?}, {version}, {text:?}),").expect("write");
        }
    }
    history.push_str("];\n");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("records.rs");
    fs::write(target, out.code + &history).expect("OUT_DIR can be written");
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    listing(directory, |path| path.extension().is_some_and(|e| e == "avsc"))
}

fn directories(directory: &Path) -> Vec<std::path::PathBuf> {
    listing(directory, Path::is_dir)
}

fn listing(directory: &Path, keep: impl Fn(&Path) -> bool) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| keep(p)).collect();
    found.sort();
    found
}

#[derive(Default)]
struct Output {
    code: String,
    /// Definition text of every named type, so that a type that several schemas share is generated
    /// once, and two different types of one name are refused.
    named: BTreeMap<String, String>,
    /// Which named types borrow from the input.
    lifetimes: BTreeMap<String, bool>,
}

impl Output {
    /// Generates the named types inside `schema`, innermost first.
    fn define(&mut self, schema: &Value, borrow: bool) {
        match schema {
            Value::Array(branches) => branches.iter().for_each(|b| self.define(b, borrow)),
            Value::Object(object) => match object["type"].as_str() {
                Some("array") => self.define(&object["items"], borrow),
                Some("record") => {
                    for field in fields(schema) {
                        self.define(&field["type"], borrow);
                    }
                    if self.is_new(schema) {
                        self.record(schema, borrow);
                    }
                }
                Some("enum") if self.is_new(schema) => self.enumeration(schema),
                Some("fixed") if self.is_new(schema) => {
                    let _ = writeln!(
                        self.code,
                        "crate::codec::fixed_type!({:?}, {}, {});",
                        text(schema, "doc"),
                        name(schema),
                        schema["size"]
                    );
                    self.lifetimes.insert(name(schema).into(), false);
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn is_new(&mut self, schema: &Value) -> bool {
        let definition = schema.to_string();
        match self.named.insert(name(schema).into(), definition.clone()) {
            None => true,
            Some(earlier) => {
                assert!(earlier == definition, "two different types are named {}", name(schema));
                false
            }
        }
    }

    fn enumeration(&mut self, schema: &Value) {
        let rust = name(schema);
        self.lifetimes.insert(rust.into(), false);
        let symbols: Vec<&str> = schema["symbols"]
            .as_array()
            .expect("an enum has symbols")
            .iter()
            .map(|s| s.as_str().expect("a symbol is a string"))
            .collect();
        let default = schema["default"].as_str().expect("every enum has a default, for its readers' future");
        let code = &mut self.code;
        let _ = writeln!(code, "#[doc = {:?}]", text(schema, "doc"));
        let _ = writeln!(
            code,
            "#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]\npub enum {rust} {{"
        );
        for symbol in &symbols {
            let mark = if *symbol == default { "#[default] " } else { "" };
            let _ = writeln!(code, "    /// `{symbol}`\n    {mark}{},", camel(symbol));
        }
        let _ = writeln!(code, "}}\nimpl {rust} {{");
        let all: Vec<String> = symbols.iter().map(|s| format!("Self::{}", camel(s))).collect();
        let _ = writeln!(
            code,
            "    /// Every symbol, in the schema's order.\n    pub const ALL: &'static [Self] = &[{}];",
            all.join(", ")
        );
        let _ = writeln!(
            code,
            "    /// The symbol as the schema spells it.\n    pub fn as_str(self) -> &'static str {{\n        match self {{"
        );
        for symbol in &symbols {
            let _ = writeln!(code, "            Self::{} => {symbol:?},", camel(symbol));
        }
        let _ = writeln!(
            code,
            "        }}\n    }}\n    #[inline]\n    fn decode_body(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {{\n        Ok(match reader.index({rust:?})? {{"
        );
        for (index, symbol) in symbols.iter().enumerate() {
            let _ = writeln!(code, "            {index} => Self::{},", camel(symbol));
        }
        let _ = writeln!(
            code,
            "            other => return Err(reader.bad_index({rust:?}, other)),\n        }})\n    }}\n    #[inline]\n    fn encode_body(&self, out: &mut Vec<u8>) {{\n        put_long(out, *self as i64);\n    }}\n}}"
        );
        let _ = writeln!(
            code,
            "impl std::fmt::Display for {rust} {{\n    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{\n        f.write_str(self.as_str())\n    }}\n}}"
        );
    }

    fn record(&mut self, schema: &Value, borrow: bool) {
        let rust = name(schema).to_owned();
        let lifetime = borrow && fields(schema).iter().any(|f| self.borrows(&f["type"]));
        self.lifetimes.insert(rust.clone(), lifetime);
        let generics = if lifetime { "<'a>" } else { "" };
        let (mut body, mut decode, mut encode, mut unions) =
            (String::new(), String::new(), String::new(), String::new());
        for field in fields(schema) {
            let (field_name, kind) = (name(field), &field["type"]);
            let path = format!("{rust}.{field_name}");
            let rust_type = match record_union(kind) {
                Some(branches) => {
                    let union_name = camel(field_name);
                    unions += &self.union(&union_name, text(field, "doc"), &branches);
                    self.use_named(&union_name)
                }
                None => self.rust_type(kind, borrow),
            };
            let _ =
                writeln!(body, "    #[doc = {:?}]\n    pub {field_name}: {rust_type},", text(field, "doc"));
            let read = match record_union(kind) {
                Some(_) => format!("{}::decode_body(reader)?", camel(field_name)),
                None => self.read(kind, borrow, &path),
            };
            let _ = writeln!(decode, "            {field_name}: {read},");
            let write = match record_union(kind) {
                Some(_) => format!("self.{field_name}.encode_body(out);"),
                None => self.write(kind, &format!("self.{field_name}"), false),
            };
            let _ = writeln!(encode, "        {write}");
        }
        let input = if lifetime { "'a" } else { "'_" };
        let _ = write!(
            self.code,
            "{unions}#[doc = {doc:?}]\n#[derive(Debug, Clone, PartialEq, Default)]\npub struct {rust}{generics} {{\n{body}}}\nimpl{generics} {rust}{generics} {{\n    #[inline]\n    fn decode_body(reader: &mut Reader<{input}>) -> Result<Self, DecodeError> {{\n        Ok(Self {{\n{decode}        }})\n    }}\n    #[inline]\n    fn encode_body(&self, out: &mut Vec<u8>) {{\n{encode}    }}\n}}\n",
            doc = text(schema, "doc"),
        );
    }

    /// A union of records becomes an enum named after its field.
    fn union(&mut self, rust: &str, doc: &str, branches: &[String]) -> String {
        let lifetime = branches.iter().any(|b| self.lifetimes[b]);
        self.lifetimes.insert(rust.into(), lifetime);
        let generics = if lifetime { "<'a>" } else { "" };
        let input = if lifetime { "'a" } else { "'_" };
        let (mut variants, mut decode, mut encode) = (String::new(), String::new(), String::new());
        for (index, branch) in branches.iter().enumerate() {
            let inner = self.use_named(branch);
            let _ = writeln!(variants, "    /// See [`{branch}`].\n    {branch}({inner}),");
            let _ =
                writeln!(decode, "            {index} => Self::{branch}({branch}::decode_body(reader)?),");
            let _ = writeln!(
                encode,
                "            Self::{branch}(inner) => {{ put_long(out, {index}); inner.encode_body(out); }}"
            );
        }
        let first = &branches[0];
        format!(
            "#[doc = {doc:?}]\n#[derive(Debug, Clone, PartialEq)]\n#[allow(clippy::large_enum_variant)] // Short-lived: decoded, judged and dropped on one stack.\npub enum {rust}{generics} {{\n{variants}}}\nimpl{generics} Default for {rust}{generics} {{\n    fn default() -> Self {{\n        Self::{first}(Default::default())\n    }}\n}}\nimpl{generics} {rust}{generics} {{\n    #[inline]\n    fn decode_body(reader: &mut Reader<{input}>) -> Result<Self, DecodeError> {{\n        Ok(match reader.index({rust:?})? {{\n{decode}            other => return Err(reader.bad_index({rust:?}, other)),\n        }})\n    }}\n    #[inline]\n    fn encode_body(&self, out: &mut Vec<u8>) {{\n        match self {{\n{encode}        }}\n    }}\n}}\n"
        )
    }

    fn record_impl(&mut self, schema: &Value, stem: &str, borrow: bool) {
        let rust = name(schema);
        let generics = if self.lifetimes[rust] { "<'a>" } else { "" };
        let canonical = canonical(schema, "");
        let _ = borrow;
        let _ = writeln!(
            self.code,
            "impl<'a> Record<'a> for {rust}{generics} {{\n    const NAME: &'static str = {stem:?};\n    const SCHEMA: &'static str = include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/avro/{stem}.avsc\"));\n    const CANONICAL: &'static str = {canonical:?};\n    const FINGERPRINT: u64 = {}u64;\n    fn decode_fields(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {{\n        Self::decode_body(reader)\n    }}\n    fn encode(&self, out: &mut Vec<u8>) {{\n        self.encode_body(out);\n    }}\n}}",
            fingerprint::rabin(canonical.as_bytes()),
        );
    }

    fn use_named(&self, rust: &str) -> String {
        if self.lifetimes[rust] { format!("{rust}<'a>") } else { rust.to_owned() }
    }

    fn borrows(&self, kind: &Value) -> bool {
        match shape(kind) {
            Shape::String | Shape::Bytes => true,
            Shape::Optional(inner) | Shape::Array(inner) => self.borrows(&inner),
            Shape::Named(rust) => self.lifetimes[&rust],
            Shape::Union(branches) => branches.iter().any(|b| self.lifetimes[b]),
            _ => false,
        }
    }

    fn rust_type(&self, kind: &Value, borrow: bool) -> String {
        match shape(kind) {
            Shape::Boolean => "bool".into(),
            Shape::Int => "i32".into(),
            Shape::Long => "i64".into(),
            Shape::Double => "f64".into(),
            Shape::String => {
                if borrow {
                    "&'a str".into()
                } else {
                    "String".into()
                }
            }
            Shape::Bytes => {
                if borrow {
                    "&'a [u8]".into()
                } else {
                    "Vec<u8>".into()
                }
            }
            Shape::Optional(inner) => format!("Option<{}>", self.rust_type(&inner, borrow)),
            Shape::Array(inner) => format!("Vec<{}>", self.rust_type(&inner, borrow)),
            Shape::Named(rust) => self.use_named(&rust),
            Shape::Union(_) => panic!("a union of records may only be a field"),
        }
    }

    fn read(&self, kind: &Value, borrow: bool, path: &str) -> String {
        match shape(kind) {
            Shape::Boolean => format!("reader.boolean({path:?})?"),
            Shape::Int => format!("reader.int({path:?})?"),
            Shape::Long => format!("reader.long({path:?})?"),
            Shape::Double => format!("reader.double({path:?})?"),
            Shape::String => format!("reader.string({path:?})?{}", if borrow { "" } else { ".to_owned()" }),
            Shape::Bytes => format!("reader.bytes({path:?})?{}", if borrow { "" } else { ".to_vec()" }),
            Shape::Optional(inner) => format!(
                "if reader.present({path:?})? {{ Some({}) }} else {{ None }}",
                self.read(&inner, borrow, path)
            ),
            Shape::Array(inner) => format!(
                "{{ let mut items = Vec::new(); while let Some(count) = reader.block({path:?})? {{ for _ in 0..count {{ items.push({}); }} }} items }}",
                self.read(&inner, borrow, path)
            ),
            Shape::Named(rust) => format!("{rust}::decode_body(reader)?"),
            Shape::Union(_) => unreachable!(),
        }
    }

    fn write(&self, kind: &Value, place: &str, is_reference: bool) -> String {
        let deref = if is_reference { "*" } else { "" };
        match shape(kind) {
            Shape::Boolean => format!("out.push(u8::from({deref}{place}));"),
            Shape::Int => format!("put_long(out, i64::from({deref}{place}));"),
            Shape::Long => format!("put_long(out, {deref}{place});"),
            Shape::Double => format!("out.extend_from_slice(&({deref}{place}).to_le_bytes());"),
            Shape::String => format!("put_bytes(out, {place}.as_bytes());"),
            Shape::Bytes => {
                format!("put_bytes(out, {place}{});", if is_reference { "" } else { ".as_ref()" })
            }
            Shape::Optional(inner) => format!(
                "match &{place} {{ None => out.push(0), Some(inner) => {{ out.push(2); {} }} }}",
                self.write(&inner, "inner", true)
            ),
            Shape::Array(inner) => format!(
                "if !{place}.is_empty() {{ put_long(out, {place}.len() as i64); for item in &{place} {{ {} }} }} out.push(0);",
                self.write(&inner, "item", true)
            ),
            Shape::Named(_) => format!("{place}.encode_body(out);"),
            Shape::Union(_) => unreachable!(),
        }
    }
}

enum Shape {
    Boolean,
    Int,
    Long,
    Double,
    String,
    Bytes,
    Optional(Value),
    Array(Value),
    Named(String),
    Union(Vec<String>),
}

fn shape(kind: &Value) -> Shape {
    match kind {
        Value::String(primitive) => match primitive.as_str() {
            "boolean" => Shape::Boolean,
            "int" => Shape::Int,
            "long" => Shape::Long,
            "double" => Shape::Double,
            "string" => Shape::String,
            "bytes" => Shape::Bytes,
            named => Shape::Named(named.into()),
        },
        Value::Array(branches) if branches.len() == 2 && branches[0] == "null" => {
            Shape::Optional(branches[1].clone())
        }
        Value::Array(branches) => Shape::Union(
            branches.iter().map(|b| b.as_str().map_or_else(|| name(b).to_owned(), str::to_owned)).collect(),
        ),
        Value::Object(object) => match object["type"].as_str().expect("a type has a name") {
            "array" => Shape::Array(object["items"].clone()),
            "record" | "enum" | "fixed" => Shape::Named(name(kind).into()),
            primitive => shape(&Value::String(primitive.into())),
        },
        other => panic!("not a schema: {other}"),
    }
}

fn record_union(kind: &Value) -> Option<Vec<String>> {
    match shape(kind) {
        Shape::Union(branches) => Some(branches),
        _ => None,
    }
}

fn fields(schema: &Value) -> &Vec<Value> {
    schema["fields"].as_array().expect("a record has fields")
}

fn name(schema: &Value) -> &str {
    schema["name"].as_str().expect("a named type has a name")
}

fn text<'v>(schema: &'v Value, key: &str) -> &'v str {
    schema[key].as_str().unwrap_or_else(|| panic!("{} needs a {key}", name(schema)))
}

fn camel(symbol: &str) -> String {
    symbol
        .split('_')
        .flat_map(|word| {
            let (head, tail) = word.split_at(1.min(word.len()));
            [head.to_uppercase(), tail.to_lowercase()]
        })
        .collect()
}

/// Avro's parsing canonical form: full names, no docs, defaults or attributes, a fixed order of keys.
fn canonical(schema: &Value, namespace: &str) -> String {
    match schema {
        Value::String(simple) => match simple.as_str() {
            "null" | "boolean" | "int" | "long" | "float" | "double" | "string" | "bytes" => {
                format!("\"{simple}\"")
            }
            named => format!("\"{namespace}.{named}\""),
        },
        Value::Array(branches) => {
            let inner: Vec<_> = branches.iter().map(|b| canonical(b, namespace)).collect();
            format!("[{}]", inner.join(","))
        }
        Value::Object(object) => {
            let space = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
            match object["type"].as_str().expect("a type has a name") {
                "array" => format!("{{\"type\":\"array\",\"items\":{}}}", canonical(&object["items"], space)),
                "enum" => format!(
                    "{{\"name\":\"{space}.{}\",\"type\":\"enum\",\"symbols\":{}}}",
                    name(schema),
                    object["symbols"]
                ),
                "fixed" => format!(
                    "{{\"name\":\"{space}.{}\",\"type\":\"fixed\",\"size\":{}}}",
                    name(schema),
                    object["size"]
                ),
                "record" => {
                    let inner: Vec<_> = fields(schema)
                        .iter()
                        .map(|f| {
                            format!("{{\"name\":\"{}\",\"type\":{}}}", name(f), canonical(&f["type"], space))
                        })
                        .collect();
                    format!(
                        "{{\"name\":\"{space}.{}\",\"type\":\"record\",\"fields\":[{}]}}",
                        name(schema),
                        inner.join(",")
                    )
                }
                primitive => canonical(&Value::String(primitive.into()), space),
            }
        }
        other => panic!("not a schema: {other}"),
    }
}
