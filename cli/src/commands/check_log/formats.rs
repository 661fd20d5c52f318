//! The formats that ship, as a page for people: where each field stands, and what a format cannot give.

use weir_collector::field::Field;
use weir_collector::format::shipped;
use weir_collector::format::spec::{Detailed, Moment, SetBy, Spec, Unit};
use weir_processor::detector::{INPUTS, NAMES};

/// Fields that a body may give.
const OF_BODIES: [Field; 10] = [
    Field::Model,
    Field::Prompt,
    Field::SystemPrompt,
    Field::MaxTokens,
    Field::Turns,
    Field::ToolsOffered,
    Field::Temperature,
    Field::Candidates,
    Field::ResponseFormat,
    Field::Stream,
];

/// Fields that a response may give.
const OF_RESPONSES: [Field; 4] =
    [Field::Tokens, Field::CompletionTokens, Field::FinishReason, Field::ToolCalls];

/// Markdown of every format.
pub fn page() -> String {
    shipped().iter().map(of).collect()
}

fn of(spec: &Spec) -> String {
    let mut out = format!("\n### `{}`\n\n{}. {}\n\n", spec.name, spec.title, spec.about);
    out += "| field | where it stands |\n|---|---|\n";
    let places = |name: &str| {
        let all = spec.fields.get(name)?.all().iter().map(|source| place(&source.detailed()));
        Some(all.collect::<Vec<_>>().join("; else "))
    };
    for field in Field::ALL {
        if let Some(places) = places(field.as_str()) {
            out += &format!("| `{field}` | {places} |\n");
        }
    }
    let silent: Vec<String> = NAMES
        .iter()
        .zip(&INPUTS)
        .filter(|(_, inputs)| inputs.needs.iter().any(|group| !group.iter().any(|name| gives(spec, name))))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !silent.is_empty() {
        out += &format!("\nDetectors that it has nothing for: {}.\n", silent.join(", "));
    }
    out
}

/// Whether the format can give a field of events.
fn gives(spec: &Spec, event_field: &str) -> bool {
    let has = |field: &Field| spec.fields.contains_key(field.as_str());
    let asks = [Field::Body, Field::Messages].iter().any(has);
    let is_given = |field: &&Field| {
        has(field)
            || (asks && OF_BODIES.contains(field))
            || (has(&Field::Response) && OF_RESPONSES.contains(field))
            || (**field == Field::Model && has(&Field::ResponseModel))
    };
    Field::ALL.iter().filter(|field| field.event_field() == event_field).any(|field| is_given(&field))
}

fn place(source: &Detailed) -> String {
    let mut said = match (&source.at, &source.value) {
        (Some(at), _) => format!("`{at}`"),
        (None, Some(value)) => format!("always `{value}`"),
        (None, None) => String::new(),
    };
    let mut more = Vec::new();
    if let Some(unit) = source.unit {
        more.push(match unit {
            Unit::S => "seconds".to_owned(),
            Unit::Ms => "milliseconds".to_owned(),
            Unit::Us => "microseconds".to_owned(),
            Unit::Ns => "nanoseconds".to_owned(),
        });
    }
    if source.moment == Some(Moment::End) {
        more.push("when it had been answered".to_owned());
    }
    if source.set_by == Some(SetBy::Client) {
        more.push("as the client claims".to_owned());
    }
    if let Some(after) = &source.after {
        more.push(format!("what follows the last `{after}`"));
    }
    more.extend(source.means.iter().map(|(value, meaning)| format!("`{value}` means {meaning}")));
    if !source.nothing.is_empty() {
        more.push(format!("nothing where it is `{}`", source.nothing.join("`, `")));
    }
    if !more.is_empty() {
        said += &format!(" ({})", more.join(", "));
    }
    said.replace('|', "\\|")
}
