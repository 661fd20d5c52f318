//! The reference page of the configuration, as Markdown.

use super::KEYS;
use std::fmt::Write as _;

/// The page.
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\nGenerated from the list in `cli/src/settings.rs`; `cargo xtask docs` writes it anew.\n\n\
         A key may stand in the file that `--config` or `WEIR_CONFIG` names (TOML), in the environment, or be a \
         flag; later wins. An unknown key is an error, and so is a value that is not allowed: the error names the key, \
         who set it, the value and what is allowed.\n\n\
         | key | environment | flag | value | default | meaning |\n|---|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let default = if key.default.is_empty() { "–".into() } else { format!("`{}`", key.default) };
        let _ = writeln!(
            page,
            "| `{}` | `{}` | `--{}` | {} | {default} | {} |",
            key.name,
            key.env(),
            key.flag(),
            key.allowed(),
            key.doc,
        );
    }
    page
}
