//! A table as it is declared: one line a column, with its name, its type, what it says and where it is found.
//!
//! Everything else is made from these lines: the types that SQL sees, the rows, and the page that lists them.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use std::borrow::Cow;
use weir_schemas::wire::{Wire, WireError};
use weir_topology::record::RecordRef;
use weir_topology::topic::Topic;

/// One kind of row: what of a topic's record a row is, and its columns.
pub(crate) trait Kind: Send + Sync + 'static {
    /// What a row is.
    type Row<'a>;
    /// Name of the table.
    const NAME: &'static str;
    /// What a row stands for.
    const DOC: &'static str;
    /// Where the rows come from.
    const TOPIC: Topic;
    /// The columns, in their order.
    fn columns() -> Vec<Column<Self>>
    where
        Self: Sized;
    /// Hands on every row of a record.
    fn each(
        wire: &Wire,
        record: RecordRef<'_>,
        payload: &[u8],
        take: &mut dyn FnMut(&Self::Row<'_>),
    ) -> Result<(), WireError>;
}

/// A column.
pub(crate) struct Column<K: Kind> {
    pub name: &'static str,
    pub doc: &'static str,
    pub cell: Cell<K>,
}

/// What is in a column, and where it is found in a row; none where the row has nothing to say.
pub(crate) enum Cell<K: Kind> {
    Text(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<Cow<'r, str>>),
    Texts(for<'r, 'a> fn(&'r K::Row<'a>) -> Vec<Cow<'r, str>>),
    Time(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<i64>),
    Int(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<i64>),
    Real(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<f64>),
    Flag(for<'r, 'a> fn(&'r K::Row<'a>) -> Option<bool>),
}

impl<K: Kind> Column<K> {
    /// A column.
    pub(crate) const fn new(name: &'static str, cell: Cell<K>, doc: &'static str) -> Self {
        Self { name, doc, cell }
    }
}

impl<K: Kind> Cell<K> {
    /// Its type, as SQL sees it.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Text(_) => DataType::Utf8,
            Self::Texts(_) => DataType::new_list(DataType::Utf8, true),
            Self::Time(_) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Int(_) => DataType::Int64,
            Self::Real(_) => DataType::Float64,
            Self::Flag(_) => DataType::Boolean,
        }
    }
}

/// Where in the log a row stands, which every table has.
pub(crate) const PLACE: [(&str, &str); 2] = [
    ("log_partition", "Partition of the topic that the row's record stands in."),
    ("log_offset", "Offset of the record in that partition."),
];
