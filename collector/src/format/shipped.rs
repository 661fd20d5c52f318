//! The formats that ship, in the order in which they win where a record fits two equally well.

use super::spec::Spec;
use std::sync::LazyLock;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("files/", $name, ".toml")))),*]
    };
}

/// Name and text of every file.
pub(super) const FILES: &[(&str, &str)] = files![
    "weir",
    "weir_rich",
    "weir_basic",
    "envoy",
    "glasswally",
    "litellm",
    "otel_genai",
    "envoy_gateway",
    "istio",
    "kong",
    "apisix",
    "caddy",
    "traefik",
    "haproxy",
    "new_api",
    "portkey",
    "helicone",
    "langfuse",
    "cloudflare",
    "bedrock",
    "azure_apim",
    "azure_openai",
    "vertex",
    "openai_batch",
    "ocsf",
    "vllm",
];

static SHIPPED: LazyLock<Vec<Spec>> = LazyLock::new(|| {
    // A file that is no format is found by the test below, and left out.
    let spec =
        |(name, text): &(&str, &str)| Some(Spec { name: (*name).to_owned(), ..toml::from_str(text).ok()? });
    FILES.iter().filter_map(spec).collect()
});

/// Every format that ships.
pub fn shipped() -> &'static [Spec] {
    &SHIPPED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    #[test]
    fn every_file_is_a_format() {
        for (name, text) in FILES {
            if let Err(error) = Format::of_file(name, text) {
                panic!("{error}");
            }
        }
        assert_eq!(shipped().len(), FILES.len());
    }
}
