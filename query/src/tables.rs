//! The tables: one file for each topic that rows come from.

mod account;
mod actions;
mod campaigns;
mod events;
mod verdicts;

use crate::column::{Kind, PLACE};
use crate::fill::{Fill, Rows};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::sync::Arc;
use weir_topology::topic::Topic;

/// A table, whatever its rows are.
pub(crate) trait Table: Send + Sync {
    /// Name.
    fn name(&self) -> &'static str;
    /// What a row stands for.
    fn doc(&self) -> &'static str;
    /// Where the rows come from.
    fn topic(&self) -> Topic;
    /// Names, types and what they say.
    fn columns(&self) -> Vec<Described>;
    /// Makes rows of records, with some of the columns.
    fn fill(&self, wanted: &[usize]) -> Box<dyn Fill>;

    /// Its columns as SQL sees them.
    fn schema(&self) -> SchemaRef {
        let fields = self.columns().into_iter().map(|column| Field::new(column.name, column.data_type, true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// A column, as it is listed.
pub(crate) struct Described {
    pub name: &'static str,
    pub data_type: DataType,
    pub doc: &'static str,
}

/// The table of one kind of row.
pub(crate) struct TableOf<K>(std::marker::PhantomData<fn() -> K>);

impl<K: Kind> TableOf<K> {
    /// The table.
    pub(crate) fn boxed() -> Arc<dyn Table> {
        Arc::new(Self(std::marker::PhantomData))
    }
}

impl<K: Kind> Table for TableOf<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn doc(&self) -> &'static str {
        K::DOC
    }

    fn topic(&self) -> Topic {
        K::TOPIC
    }

    fn columns(&self) -> Vec<Described> {
        let own = K::columns().into_iter().map(|column| Described {
            name: column.name,
            data_type: column.cell.data_type(),
            doc: column.doc,
        });
        let place = PLACE.map(|(name, doc)| Described { name, data_type: DataType::Int64, doc });
        own.chain(place).collect()
    }

    fn fill(&self, wanted: &[usize]) -> Box<dyn Fill> {
        Box::new(Rows::<K>::new(wanted))
    }
}

/// Every table, in the order in which they are listed.
pub(crate) fn all() -> Vec<Arc<dyn Table>> {
    vec![
        TableOf::<events::Events>::boxed(),
        TableOf::<verdicts::Verdicts>::boxed(),
        TableOf::<verdicts::Signals>::boxed(),
        TableOf::<verdicts::Evidence>::boxed(),
        TableOf::<campaigns::Campaigns>::boxed(),
        TableOf::<campaigns::Members>::boxed(),
        TableOf::<actions::Actions>::boxed(),
        TableOf::<actions::Outcomes>::boxed(),
        TableOf::<account::Standing>::boxed(),
        TableOf::<account::Audit>::boxed(),
    ]
}

/// What stands above the tables.
const HEAD: &str = "# Tables\n\nWhat [`weir query`](query.md) answers from; `weir query --tables` prints this page. Ids are text of 32 hex digits \
                    (digests 64), accounts and whatever identifies a client are pseudonyms and keyed hashes, times are UTC with milliseconds. \
                    A column is null where the record does not say: missing is not zero. In lists, nothing is an empty list.\n\n";

/// Every table with its columns, their types and what they say, in Markdown.
pub fn listing() -> String {
    let mut text = String::from(HEAD);
    for table in all() {
        let _ = write!(text, "## {}\n\n{} From `{}`.\n\n", table.name(), table.doc(), table.topic());
        text.push_str("| column | type | what it says |\n|---|---|---|\n");
        for column in table.columns() {
            let kind = match column.data_type {
                DataType::Utf8 => "text",
                DataType::List(_) => "texts",
                DataType::Timestamp(..) => "timestamp",
                DataType::Int64 => "integer",
                DataType::Float64 => "real",
                _ => "boolean",
            };
            let _ = writeln!(text, "| `{}` | {kind} | {} |", column.name, column.doc);
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// An id or a word as a cell.
fn text<'r>(value: impl Display) -> Option<Cow<'r, str>> {
    Some(value.to_string().into())
}
